//! Whole packets of every kind a node carries, and taps that send and see them.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg,
    send, setsockopt, socket,
};
use nix::{setsockopt_impl, sockopt_impl};
use stoq_lab::topology::{CLIENT_V4, CLIENT_V6};
use stoq_lab::{Netns, wait_for};

const SOON: Duration = Duration::from_secs(5);
const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

sockopt_impl!(
    /// Tells what the kernel took out of a frame: its outer VLAN tag.
    AuxiliaryData, SetOnly, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool
);

/// A packet socket on one interface of a namespace.
pub(crate) struct Tap(OwnedFd);

impl Tap {
    pub(crate) fn open(netns: &Netns, interface: &str) -> Self {
        netns.run(|| Self::here(interface)).unwrap()
    }

    fn here(interface: &str) -> Self {
        let (family, flags) = (AddressFamily::Packet, SockFlag::SOCK_NONBLOCK);
        let fd = socket(family, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
        let mut links = getifaddrs().unwrap();
        let address = links.find_map(|link| {
            let named = link.interface_name == interface;
            link.address?.as_link_addr().copied().filter(|_| named)
        });
        setsockopt(&fd, AuxiliaryData, &true).unwrap();
        bind(fd.as_raw_fd(), &address.unwrap()).unwrap();
        Self(fd)
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
    }

    /// Waits for a frame that is exactly these bytes, `skip` bytes from its start.
    pub(crate) fn expect(&self, what: &str, skip: usize, bytes: &[u8]) {
        let seen = wait_for(what, SOON, || {
            std::iter::from_fn(|| self.next()).find(|frame| frame.get(skip..) == Some(bytes))
        });
        seen.unwrap();
    }

    /// How often `bytes` came before `last` did, both `skip` bytes from the start of a frame.
    pub(crate) fn until(&self, skip: usize, last: &[u8], bytes: &[u8]) -> usize {
        let mut count = 0;
        let ended = wait_for("the last frame", SOON, || {
            std::iter::from_fn(|| self.next()).find(|frame| {
                count += usize::from(frame.get(skip..) == Some(bytes));
                frame.get(skip..) == Some(last)
            })
        });
        ended.unwrap();
        count
    }

    fn next(&self) -> Option<Vec<u8>> {
        let (mut buffer, mut space) = ([0; 2048], nix::cmsg_space!([u8; AUXILIARY]));
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let (fd, flags) = (self.0.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<()>(fd, &mut parts, Some(&mut space), flags).ok()?;
        let (tag, length) = (message.cmsgs().unwrap().find_map(tag), message.bytes);
        let (addresses, rest) = buffer[..length].split_at(12);
        Some([addresses, &tag.unwrap_or_default(), rest].concat())
    }
}

/// Bytes of a `struct tpacket_auxdata`.
const AUXILIARY: usize = 20;

/// The outer VLAN tag as it stood in the frame.
fn tag(message: ControlMessageOwned) -> Option<Vec<u8>> {
    let ControlMessageOwned::Unknown(auxiliary) = message else {
        return None;
    };
    let data = auxiliary.data_bytes;
    let native = |at: usize| u16::from_ne_bytes([data[at], data[at + 1]]);
    let status = u32::from_ne_bytes([data[0], data[1], data[2], data[3]]);
    let [tci, kind] = [16, 18].map(|at| native(at).to_be_bytes());
    (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| [kind, tci].concat())
}

/// An Ethernet frame from the client to the node.
pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&NODE_MAC[..], &CLIENT_MAC, &kind.to_be_bytes(), payload].concat()
}

/// A fragment's place: its offset in bytes, and whether more follow.
pub(crate) type Fragment = (u16, bool);

/// An IPv4 packet from the client.
pub(crate) fn v4(
    to: Ipv4Addr,
    hops: u8,
    protocol: u8,
    fragment: Fragment,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = [0u8; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    header[4..6].copy_from_slice(&0x5701u16.to_be_bytes());
    let place = (fragment.0 / 8) | (u16::from(fragment.1) << 13);
    header[6..8].copy_from_slice(&place.to_be_bytes());
    (header[8], header[9]) = (hops, protocol);
    header[12..16].copy_from_slice(&CLIENT_V4.octets());
    header[16..].copy_from_slice(&to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// An IPv6 packet from the client.
pub(crate) fn v6(to: Ipv6Addr, hops: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    (header[6], header[7]) = (next, hops);
    header[8..24].copy_from_slice(&CLIENT_V6.octets());
    header[24..].copy_from_slice(&to.octets());
    [&header, payload].concat()
}

/// A UDP datagram with this many bytes of changing payload; without a checksum.
pub(crate) fn udp(port: u16, length: u16) -> Vec<u8> {
    let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let words = [40_000, port, 8 + length, 0].map(u16::to_be_bytes);
    [&words.concat()[..], &payload].concat()
}

/// A TCP SYN.
pub(crate) fn tcp(port: u16) -> Vec<u8> {
    let words = [40_000, port, 1, 2, 0, 0, 0x5002, 1024, 0, 0].map(u16::to_be_bytes);
    words.concat()
}

fn checksum(header: &[u8; 20]) -> u16 {
    let words = header
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
