//! The socket below quinn: sends by UDP, with trains of segments kept to what one datagram of IP
//! can be; receives by UDP and by AF_XDP.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, Type};

use crate::af_xdp::{Asking, Sockets};
use crate::spin::{Look, Spin};
use crate::{Profile, TransportConfig};

/// Largest UDP payload in IPv4, bytes. The kernel refuses a train of segments that is longer in all.
const LARGEST: usize = 65_507;

/// Bytes that may wait in the UDP socket, if the system lets it have so many; twice its default if it
/// lets nobody have more. A train of ten jumbo frames is a third of that default.
const WAITING: usize = 4 << 20;

/// Opens and binds a UDP socket; an IPv6 wildcard takes IPv4 too.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // With less it works as well.
    let _ = socket.set_recv_buffer_size(WAITING);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What quinn sends and receives by.
pub(crate) struct Socket {
    udp: Arc<dyn AsyncUdpSocket>,
    segments: usize,
    sockets: Sockets,
    /// Ends with the socket.
    _asking: Arc<Asking>,
    /// Whether AF_XDP comes before UDP the next time: what has given something comes last.
    af_xdp_first: AtomicBool,
    /// Datagrams that came by UDP.
    received: Arc<AtomicU64>,
    look: Look,
    spin: Option<Spin>,
}

impl Socket {
    /// Over a bound UDP socket, and what the agent will hand over. What comes by UDP is added to `received`.
    pub(crate) fn new(
        udp: UdpSocket,
        config: &TransportConfig,
        sockets: Sockets,
        asking: Arc<Asking>,
        received: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let spins = config.profile == Profile::Latency;
        let spin = spins.then(Spin::new);
        let look = Look::new(&udp)?;
        let udp = TokioRuntime.wrap_udp_socket(udp)?;
        let segments = segments(udp.max_transmit_segments(), config.largest_datagram);
        Ok(Self {
            udp,
            segments,
            sockets,
            _asking: asking,
            af_xdp_first: AtomicBool::new(false),
            received,
            look,
            spin,
        })
    }

    /// Whatever there is, from whom had nothing the last time; else the task is woken by either.
    fn poll_both(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.af_xdp_first.load(Ordering::Relaxed) {
            let used = self.sockets.receive(bufs, meta);
            if used > 0 {
                return Poll::Ready(Ok(self.by_af_xdp(used)));
            }
        }
        if let Poll::Ready(got) = self.udp.poll_recv(cx, bufs, meta) {
            return Poll::Ready(got.map(|used| self.by_udp(used, meta)));
        }
        let polled = self.sockets.poll_receive(cx, bufs, meta);
        polled.map(|used| Ok(self.by_af_xdp(used)))
    }

    fn by_af_xdp(&self, used: usize) -> usize {
        self.af_xdp_first.store(false, Ordering::Relaxed);
        used
    }

    fn by_udp(&self, used: usize, meta: &[RecvMeta]) -> usize {
        self.af_xdp_first.store(true, Ordering::Relaxed);
        let datagrams = meta.iter().take(used).map(datagrams).sum();
        self.received.fetch_add(datagrams, Ordering::Relaxed);
        used
    }

    /// As [`poll_both`](Self::poll_both), but where there is nothing it looks once more when that is
    /// due, and for a while after something was sent or received again and again.
    fn poll_looking(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let due = self.look.is_due();
        let polled = self.poll_both(cx, bufs, meta);
        let spin = self.spin.as_ref();
        let spinning = polled.is_pending() && spin.is_some_and(Spin::goes_on);
        let looked = (polled.is_pending() && (due || spinning)).then(|| self.look(bufs, meta));
        match (looked.flatten(), spin) {
            (Some(used), _) => Poll::Ready(Ok(used)),
            (None, Some(spin)) if spinning => {
                spin.give_way(cx);
                Poll::Pending
            }
            _ => polled,
        }
    }

    /// Whatever there is, without the runtime's help.
    fn look(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Option<usize> {
        let used = self.sockets.receive(bufs, meta);
        if used > 0 {
            return Some(self.by_af_xdp(used));
        }
        let used = self.look.receive(bufs, meta)?;
        Some(self.by_udp(used, meta))
    }

    fn begin(&self) {
        if let Some(spin) = &self.spin {
            spin.begin();
        }
    }
}

/// Datagrams in one buffer.
fn datagrams(meta: &RecvMeta) -> u64 {
    meta.len.div_ceil(meta.stride.max(1)).max(1) as u64
}

/// Segments of `largest` bytes that fit one train.
fn segments(offered: usize, largest: u16) -> usize {
    offered.min(LARGEST / usize::from(largest).max(1)).max(1)
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.udp.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // What is sent is often answered.
        self.begin();
        self.udp.try_send(transmit)?;
        self.look.sent(transmit.contents.len());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.poll_looking(cx, bufs, meta);
        match polled {
            Poll::Ready(_) => self.begin(),
            Poll::Pending => self.look.wait(cx),
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.segments
    }

    fn max_receive_segments(&self) -> usize {
        self.udp.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.segments;
        f.debug_struct("Socket")
            .field("segments", &segments)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_is_no_longer_than_a_datagram_can_be() {
        for (offered, largest, expected) in [
            (64, 1452, 45),
            (10, 1452, 10),
            (10, 8952, 7),
            (64, 65_507, 1),
            (64, u16::MAX, 1),
            (1, 1452, 1),
        ] {
            assert_eq!(segments(offered, largest), expected, "{offered} {largest}");
            assert!(usize::from(largest) > LARGEST || expected * usize::from(largest) <= LARGEST);
        }
    }
}
