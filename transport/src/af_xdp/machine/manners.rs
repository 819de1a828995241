//! How soon to ask again.

use std::time::Duration;

use stoq_ebpf::broker::Reason;

/// Waits in a row, each twice the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) first: Duration,
    longest: Duration,
}

/// A connection that failed or broke, or steering that ended.
pub(super) const AGAIN: Row = Row::new(100, 5_000);
/// What passes by itself: a session of before ends, a pod or its transport becomes known, memory is given back.
const SOON: Row = Row::new(200, 5_000);
/// What somebody has to change: an object, the node, the agent, or this program.
pub(super) const SELDOM: Row = Row::new(5_000, 60_000);

/// How to wait after a refusal.
pub(super) fn after(reason: Reason) -> Row {
    match reason {
        Reason::Busy | Reason::NoEndpoint | Reason::NoMemory => SOON,
        Reason::Malformed
        | Reason::Version
        | Reason::NotYours
        | Reason::Disabled
        | Reason::NotSupported => SELDOM,
    }
}

impl Row {
    /// In milliseconds.
    const fn new(first: u64, longest: u64) -> Self {
        Self {
            first: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
        }
    }
}

/// How often there was a wait, one after the other.
#[derive(Debug, Default)]
pub(super) struct Waits(u32);

impl Waits {
    /// The next one; rows may change in between.
    pub(super) fn next(&mut self, row: Row) -> Duration {
        let factor = 1u32.checked_shl(self.0).unwrap_or(u32::MAX);
        self.0 = self.0.saturating_add(1);
        row.first.saturating_mul(factor).min(row.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_asked_about_soon_and_what_stays_seldom() {
        let soon = [200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        let seldom = [5000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000, 60_000];
        for (reason, expected) in [
            (Reason::Malformed, seldom),
            (Reason::Version, seldom),
            (Reason::NoEndpoint, soon),
            (Reason::NotYours, seldom),
            (Reason::Disabled, seldom),
            (Reason::Busy, soon),
            (Reason::NotSupported, seldom),
            (Reason::NoMemory, soon),
        ] {
            let waits =
                [0, 1, 2, 3, 4, 5, 31, u32::MAX].map(|before| Waits(before).next(after(reason)));
            assert_eq!(waits, expected.map(Duration::from_millis), "{reason:?}");
        }
    }
}
