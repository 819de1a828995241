//! How soon to ask again.

use std::time::Duration;

use stoq_ebpf::broker::Reason;

/// The first wait of a row, and the longest; each is twice the one before.
type Row = (Duration, Duration);

/// What passes by itself: a session of before ends, a pod or its transport becomes known, memory is given back.
const SOON: Row = (Duration::from_millis(200), Duration::from_secs(5));
/// What somebody has to change: an object, the node, the agent, or this program.
const SELDOM: Row = (Duration::from_secs(5), Duration::from_secs(60));

/// How long to wait after a refusal, when so many came before it in a row.
pub(super) fn wait(reason: Reason, before: u32) -> Duration {
    let row = match reason {
        Reason::Busy | Reason::NoEndpoint | Reason::NoMemory => SOON,
        Reason::Malformed
        | Reason::Version
        | Reason::NotYours
        | Reason::Disabled
        | Reason::NotSupported => SELDOM,
    };
    nth(row, before)
}

/// How long to wait after something that only another agent would do otherwise.
pub(super) fn wait_for_another(before: u32) -> Duration {
    nth(SELDOM, before)
}

fn nth((first, longest): Row, before: u32) -> Duration {
    let factor = 1u32.checked_shl(before).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
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
            let waits = [0, 1, 2, 3, 4, 5, 31, u32::MAX].map(|before| wait(reason, before));
            assert_eq!(waits, expected.map(Duration::from_millis), "{reason:?}");
        }
    }
}
