//! A running flood, from another thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::kind::Kind;

/// Stops a flood and tells how far it is.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    offered: [AtomicU64; Kind::ALL.len()],
}

impl Control {
    /// Ends the flood within a few milliseconds.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Packets offered so far, in the order of [`Kind::ALL`]; exact once the flood has ended.
    pub fn offered(&self) -> [u64; Kind::ALL.len()] {
        self.offered.each_ref().map(|count| count.load(Relaxed))
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub(super) fn publish(&self, offered: &[u64]) {
        for (shown, count) in self.offered.iter().zip(offered) {
            shown.store(*count, Relaxed);
        }
    }
}
