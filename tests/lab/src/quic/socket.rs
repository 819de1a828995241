//! A UDP socket for quinn that counts each datagram's size.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::sizes::SocketSizes;

/// What QUIC servers usually ask for: with the system's default a peer that has to wait for a
/// core loses packets.
const BUFFER: usize = 4 << 20;

/// Counts what passes through quinn's own socket.
pub(super) struct CountingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    sizes: Arc<SocketSizes>,
}

impl CountingSocket {
    /// Binds a socket in the calling thread's namespace.
    pub(super) fn bind(address: SocketAddr, sizes: Arc<SocketSizes>) -> io::Result<Arc<Self>> {
        let socket = UdpSocket::bind(address)?;
        set_socket_recv_buffer_size_force(&socket, BUFFER)?;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { inner, sizes }))
    }
}

impl AsyncUdpSocket for CountingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        let bytes = transmit.contents.len();
        self.sizes
            .tx
            .add(bytes, transmit.segment_size.unwrap_or(bytes));
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(received)) = polled {
            for datagrams in &meta[..received] {
                self.sizes.rx.add(datagrams.len, datagrams.stride);
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for CountingSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
