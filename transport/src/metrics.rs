//! What a transport has counted, and how its connections are.

#[cfg(feature = "prometheus")]
mod collector;
mod connections;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(feature = "prometheus")]
pub use self::collector::Collector;
use self::connections::Connections;
pub(crate) use self::connections::Tracked;
use crate::af_xdp::Sockets;
use crate::{Backend, Connection};

/// A transport's numbers. Counters only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// What packets are received by now.
    pub backend: Backend,
    /// What came by AF_XDP.
    pub af_xdp: AfXdpCounts,
    /// Datagrams that came by UDP.
    pub udp_datagrams: u64,
    /// All connections together, those that are gone included. What streams carried after the last handle
    /// of their connection was dropped is not in it.
    pub total: Traffic,
    /// The connections that somebody has a handle of.
    pub connections: Vec<ConnectionMetrics>,
}

/// What came by AF_XDP, and what was lost on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AfXdpCounts {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Packets that held no whole UDP datagram, of those above.
    pub unusable: u64,
    /// Entries in the rings that made no sense, to us or to the kernel.
    pub strange: u64,
    /// Packets lost because no frame of memory was free.
    pub no_frame: u64,
    /// Packets lost because too many waited to be received.
    pub ring_full: u64,
    /// Packets that the kernel lost for other reasons.
    pub dropped: u64,
}

impl AfXdpCounts {
    /// The sum, field by field.
    #[must_use]
    #[cfg_attr(not(feature = "ebpf"), allow(dead_code, reason = "nothing is counted"))]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            unusable: self.unusable + other.unusable,
            strange: self.strange + other.strange,
            no_frame: self.no_frame + other.no_frame,
            ring_full: self.ring_full + other.ring_full,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// How one connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionMetrics {
    /// Whom it is with.
    pub peer: SocketAddr,
    /// Round-trip time, smoothed.
    pub rtt: Duration,
    /// What it has carried.
    pub traffic: Traffic,
}

/// What connections have carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of UDP payload sent.
    pub sent_bytes: u64,
    /// Bytes of UDP payload received, over whichever backend.
    pub received_bytes: u64,
    /// QUIC packets sent.
    pub sent_packets: u64,
    /// QUIC packets of those sent that were lost.
    pub lost_packets: u64,
}

/// Sees what a transport does, without keeping it alive.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    sockets: Sockets,
    udp_datagrams: Arc<AtomicU64>,
    connections: Arc<Connections>,
}

impl Observer {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            udp_datagrams: Arc::default(),
            connections: Arc::default(),
        }
    }

    /// Where datagrams that come by UDP are counted.
    pub(crate) fn udp(&self) -> Arc<AtomicU64> {
        self.udp_datagrams.clone()
    }

    /// From now on the connection's numbers are seen.
    pub(crate) fn observe(&self, connection: quinn::Connection) -> Connection {
        Connection::new(self.connections.track(connection))
    }

    pub(crate) fn backend(&self) -> Backend {
        self.sockets.backend()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let (connections, total) = self.connections.metrics();
        Metrics {
            backend: self.backend(),
            af_xdp: self.sockets.counts(),
            udp_datagrams: self.udp_datagrams.load(Ordering::Relaxed),
            total,
            connections,
        }
    }
}
