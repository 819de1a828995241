//! What quinn itself says about the connections of one process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, ConnectionStats};
use serde::{Deserialize, Serialize};

use super::quantiles::Samples;
use super::sizes::SocketSizes;

const RTT_EVERY: Duration = Duration::from_millis(20);

/// Sums of quinn's statistics over connections that have ended, as they stood when they did:
/// without the packets that say goodbye (the sockets' counts have them).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuinnTotals {
    /// UDP datagrams sent.
    pub tx_datagrams: u64,
    /// UDP payload bytes sent.
    pub tx_bytes: u64,
    /// UDP datagrams received.
    pub rx_datagrams: u64,
    /// UDP payload bytes received.
    pub rx_bytes: u64,
    /// QUIC packets sent on the last path of each connection.
    pub sent_packets: u64,
    /// QUIC packets given up as lost on the last path of each connection.
    pub lost_packets: u64,
}

impl QuinnTotals {
    fn add(&mut self, stats: &ConnectionStats) {
        self.tx_datagrams += stats.udp_tx.datagrams;
        self.tx_bytes += stats.udp_tx.bytes;
        self.rx_datagrams += stats.udp_rx.datagrams;
        self.rx_bytes += stats.udp_rx.bytes;
        self.sent_packets += stats.path.sent_packets;
        self.lost_packets += stats.path.lost_packets;
    }
}

/// What one process gathers over all its connections.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) sizes: Arc<SocketSizes>,
    pub(super) rtt: Samples,
    pub(super) round_trips: Arc<Samples>,
    totals: Mutex<QuinnTotals>,
}

impl Observed {
    /// Samples a connection's round-trip time until it ends, then adds its statistics.
    pub(super) async fn follow(self: Arc<Self>, connection: Connection) {
        let mut tick = tokio::time::interval(RTT_EVERY);
        loop {
            tokio::select! {
                _ = connection.closed() => break,
                _ = tick.tick() => self.rtt.add(connection.rtt()),
            }
        }
        self.lock().add(&connection.stats());
    }

    pub(super) fn totals(&self) -> QuinnTotals {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, QuinnTotals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
