//! The socket below quinn: UDP, with trains of segments kept to what one datagram of IP can be.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, Type};

/// Largest UDP payload in IPv4, bytes. The kernel refuses a train of segments that is longer in all.
const LARGEST: usize = 65_507;

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
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What quinn sends and receives by.
pub(crate) struct Socket {
    udp: Arc<dyn AsyncUdpSocket>,
    segments: usize,
}

impl Socket {
    /// Over a bound UDP socket, for datagrams of up to `largest` bytes.
    pub(crate) fn new(udp: UdpSocket, largest: u16) -> io::Result<Self> {
        let udp = TokioRuntime.wrap_udp_socket(udp)?;
        let segments = segments(udp.max_transmit_segments(), largest);
        Ok(Self { udp, segments })
    }
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
        self.udp.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.udp.poll_recv(cx, bufs, meta)
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
