//! The connections that somebody has a handle of, and the sums of those that are gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{ConnectionMetrics, Traffic};

/// A transport's connections, none of which is kept alive.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    live: HashMap<usize, Weak<Tracked>>,
    gone: Traffic,
    /// What was shown last. One that is neither here nor gone yet must not make sums fall.
    shown: Traffic,
}

/// A connection that leaves its numbers behind.
#[derive(Debug)]
pub(crate) struct Tracked {
    connection: quinn::Connection,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn track(self: &Arc<Self>, connection: quinn::Connection) -> Arc<Tracked> {
        let id = connection.stable_id();
        let tracked = Arc::new(Tracked {
            connection,
            connections: self.clone(),
        });
        self.lock().live.insert(id, Arc::downgrade(&tracked));
        tracked
    }

    /// Of each that lives, and the sum with those that do not.
    pub(super) fn metrics(&self) -> (Vec<ConnectionMetrics>, Traffic) {
        let inner = self.lock();
        let gone = inner.gone;
        let live: Vec<_> = inner.live.values().filter_map(Weak::upgrade).collect();
        // The last handle may be ours by now, and dropping it takes the lock.
        drop(inner);
        let metrics: Vec<_> = live.iter().map(|tracked| tracked.metrics()).collect();
        let traffic = metrics.iter().map(|connection| connection.traffic);
        let total = traffic.fold(gone, Traffic::plus);
        let mut inner = self.lock();
        inner.shown = inner.shown.max(total);
        (metrics, inner.shown)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done where somebody panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracked {
    pub(crate) fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    fn metrics(&self) -> ConnectionMetrics {
        let stats = self.connection.stats();
        ConnectionMetrics {
            peer: self.connection.remote_address(),
            rtt: stats.path.rtt,
            traffic: Traffic {
                sent_bytes: stats.udp_tx.bytes,
                received_bytes: stats.udp_rx.bytes,
                sent_packets: stats.path.sent_packets,
                lost_packets: stats.path.lost_packets,
            },
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let traffic = self.metrics().traffic;
        let mut inner = self.connections.lock();
        inner.live.remove(&self.connection.stable_id());
        inner.gone = inner.gone.plus(traffic);
    }
}

impl Traffic {
    fn plus(self, other: Self) -> Self {
        self.with(other, |ours, theirs| ours + theirs)
    }

    fn max(self, other: Self) -> Self {
        self.with(other, u64::max)
    }

    fn with(self, other: Self, both: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            sent_bytes: both(self.sent_bytes, other.sent_bytes),
            received_bytes: both(self.received_bytes, other.received_bytes),
            sent_packets: both(self.sent_packets, other.sent_packets),
            lost_packets: both(self.lost_packets, other.lost_packets),
        }
    }
}
