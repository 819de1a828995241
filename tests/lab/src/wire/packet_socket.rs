//! A packet socket on one interface: whole Ethernet frames in and out.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

/// Room for a burst at either end: the wire itself must not lose.
const BUFFER: usize = 32 << 20;
const LARGEST_FRAME: usize = 65_536;

/// A socket that carries every frame of one interface.
pub(super) struct PacketSocket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl PacketSocket {
    /// Opens it in the namespace of the calling thread.
    pub(super) fn open(interface: &str) -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (family, kind) = (AddressFamily::Packet, SockType::Raw);
        let fd = socket(family, kind, flags, SockProtocol::EthAll).context("packet socket")?;
        setsockopt(&fd, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&fd, sockopt::SndBufForce, &BUFFER)?;
        bind(fd.as_raw_fd(), &link_address(interface)?)
            .with_context(|| format!("packet socket on {interface}"))?;
        let buffer = vec![0; LARGEST_FRAME];
        Ok(Self { fd, buffer })
    }

    /// The next frame, if one waits.
    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let length = recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()).ok()?;
        Some(self.buffer[..length].to_vec())
    }

    pub(super) fn send(&self, frame: &[u8]) -> nix::Result<()> {
        send(self.fd.as_raw_fd(), frame, MsgFlags::empty()).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn link_address(interface: &str) -> Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .with_context(|| format!("no interface {interface}"))
}
