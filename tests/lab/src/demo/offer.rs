//! What comes to the service in a run.

use crate::flood::Mix;

/// A flood, and the clients beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// What the flood mixes, one part after another.
    pub(super) parts: &'static [Mix],
    /// Packets per second of the flood.
    pub(super) rate: u64,
    /// Seconds of each part.
    pub(super) seconds: u64,
    /// Requests per second of the clients.
    pub(super) requests: u64,
}

impl Offer {
    /// How long all of it takes, in seconds.
    pub(super) fn lasts(&self) -> u64 {
        self.parts.len() as u64 * self.seconds
    }

    /// Packets of the whole flood.
    pub(super) fn packets(&self) -> u64 {
        self.lasts() * self.rate
    }
}
