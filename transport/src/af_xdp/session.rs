//! A socket that the agent has bound and handed over, and what it brings.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use quinn::udp::RecvMeta;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use stoq_ebpf::af_xdp::{Mode, Packet, Receiver, Socket, Umem};
use stoq_ebpf::broker::Granted;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::batch::Batch;
use super::frame::{self, HEADERS, Headers};
use super::watch::watch;
use crate::metrics::AfXdpCounts;

/// Most packets of one call to receive: quinn looks at its clock in between.
const MOST: usize = 256;

/// The receiving end of one endpoint's AF_XDP socket.
#[derive(Debug)]
pub(super) struct Session {
    receiver: Receiver,
    /// The same socket, for tokio to wait on.
    ready: AsyncFd<OwnedFd>,
    /// The only address that packets are for, whatever they say; `None`: what they say.
    endpoint: Option<IpAddr>,
    /// Frames that were no datagram.
    unusable: u64,
    /// Nothing was left the last time.
    empty: bool,
}

impl Session {
    /// Maps what was handed over and offers the kernel its frames. The descriptors are the memory's and the socket's.
    pub(super) fn open(
        granted: Granted,
        descriptors: Vec<OwnedFd>,
        endpoint: IpAddr,
    ) -> Result<Self, String> {
        let Ok([memfd, socket]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            return Err("memory and socket were not handed over".to_owned());
        };
        let memory = |error| format!("the memory handed over is no good: {error}");
        let rings = |error| format!("the socket handed over is no good: {error}");
        let umem = Umem::open(memfd, granted.geometry).map_err(memory)?;
        let receiver = Receiver::open(Socket::from(socket), umem, granted.rings).map_err(rings)?;
        Self::over(receiver, Some(endpoint))
    }

    /// What a receiver brings. With an endpoint its packets are for that, whatever they say themselves.
    pub(super) fn over(receiver: Receiver, endpoint: Option<IpAddr>) -> Result<Self, String> {
        let waiting = |error: std::io::Error| format!("the socket cannot be waited on: {error}");
        let fd = receiver.as_fd().try_clone_to_owned().map_err(waiting)?;
        let ready = watch(fd, Interest::READABLE).map_err(waiting)?;
        Ok(Self {
            receiver,
            ready,
            endpoint,
            unusable: 0,
            empty: false,
        })
    }

    /// Fills buffers from the ring; how many. `mapped`: IPv4 sources are shown as IPv6.
    pub(super) fn receive(
        &mut self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
        mapped: bool,
    ) -> usize {
        let mut batch = Batch::new(buffers, metas, self.endpoint, mapped);
        let mut packets = 0;
        let unusable = &mut self.unusable;
        self.empty = false;
        while packets < MOST && !self.empty && batch.left() > 0 {
            // Each may need a buffer of its own.
            let most = batch.left().min(MOST - packets);
            let got = self.receiver.receive(most, |packet| {
                *unusable += u64::from(!put(&packet, &mut batch));
            });
            packets += got;
            self.empty = got < most;
        }
        batch.used()
    }

    /// As [`receive`](Self::receive), and with nothing there has the task woken once there is.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
        mapped: bool,
    ) -> Poll<usize> {
        // What the last call had no room for nobody is woken for again.
        if !self.empty {
            let used = self.receive(buffers, metas, mapped);
            if used > 0 {
                return Poll::Ready(used);
            }
        }
        // An error means that the runtime ends.
        while let Poll::Ready(Ok(mut guard)) = self.ready.poll_read_ready(cx) {
            // First forgotten, then looked for, so that what comes in between is not missed.
            guard.clear_ready();
            drop(guard);
            let used = self.receive(buffers, metas, mapped);
            if used > 0 {
                return Poll::Ready(used);
            }
            if !self.empty {
                // Much that is of no use, and perhaps something behind it: others come first.
                cx.waker().wake_by_ref();
                break;
            }
        }
        Poll::Pending
    }

    /// Whether nothing was left the last time.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Whether free frames are offered to the kernel.
    pub(super) fn is_primed(&self) -> bool {
        self.receiver.is_primed()
    }

    /// Why its socket will receive nothing any more, if that is so. The kernel tells who asks, not who waits
    /// (`xsk_poll` and `xsk_recvmsg`, net/xdp/xsk.c, v6.18).
    pub(super) fn failure(&self) -> Option<String> {
        match rustix::net::recv(self.receiver.as_fd(), &mut [0; 0], RecvFlags::DONTWAIT) {
            Err(Errno::NXIO) => Some("the device behind the socket is gone".to_owned()),
            Err(Errno::NETDOWN) => Some("the device behind the socket is down".to_owned()),
            _ => None,
        }
    }

    /// To prove to another agent that it is ours.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }

    /// How frames get into its memory; the kernel's copying is what there always is.
    pub(super) fn mode(&self) -> Mode {
        self.receiver.mode().unwrap_or(Mode::Copy)
    }

    pub(super) fn counts(&self) -> AfXdpCounts {
        let counts = self.receiver.counts();
        // Numbers that can't be had are none.
        let lost = self.receiver.statistics().unwrap_or_default();
        AfXdpCounts {
            packets: counts.packets,
            bytes: counts.bytes,
            unusable: self.unusable,
            strange: counts.strange + lost.invalid,
            no_frame: lost.fill_empty,
            ring_full: lost.ring_full,
            dropped: lost.dropped,
        }
    }
}

fn put(packet: &Packet<'_>, batch: &mut Batch<'_, '_>) -> bool {
    let mut bytes = [0; HEADERS];
    let len = packet.len();
    let headers = &mut bytes[..len.min(HEADERS)];
    if !packet.copy_to(0, headers) {
        return false;
    }
    let headers = Headers {
        bytes: headers,
        len,
    };
    let found = frame::datagram(&headers);
    found.is_some_and(|found| batch.push(&found, |to| packet.copy_to(found.at, to)))
}
