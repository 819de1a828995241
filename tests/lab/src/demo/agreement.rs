//! Whether two rungs came to the same verdicts on the same flood.

use std::collections::BTreeSet;
use std::time::Duration;

use super::claims::Claim;
use super::comparison::EMPTIED;
use super::metrics::Reasons;
use super::outcome::Outcome;
use super::show::{count, rate};

/// A comparison to within more than this share of the packets means nothing.
const MEANINGFUL: f64 = 0.02;

/// What counts of one of the two runs.
#[derive(Debug, Clone, Default)]
struct Side {
    dropped: Reasons,
    offered: u64,
    /// Before any hook, as the uplink's ring was full.
    lost: u64,
    /// How long each part of the flood lasted.
    seconds: Vec<f64>,
}

/// That every verdict count is the same. `tick`: how far apart the readings of the guard's clock are.
pub(super) fn claim(native: &Outcome, tcx: &Outcome, tick: Duration) -> Claim {
    let (holds, details) = compare(&side(native), &side(tcx), tick);
    let text = format!(
        "every verdict count is the same at native and at TCX, of {} packets each at {}: {details}",
        count(native.offered()),
        rate(native.offered_pps()),
    );
    Claim::new(holds, text)
}

fn side(outcome: &Outcome) -> Side {
    Side {
        dropped: outcome.dropped(),
        offered: outcome.offered(),
        lost: outcome.lost,
        seconds: outcome.floods.iter().map(|flood| flood.seconds).collect(),
    }
}

fn compare(native: &Side, tcx: &Side, tick: Duration) -> (bool, String) {
    let reasons: BTreeSet<&String> = native.dropped.keys().chain(tcx.dropped.keys()).collect();
    let mut holds = !reasons.is_empty();
    let mut details = Vec::new();
    for reason in reasons {
        let of = |side: &Side| side.dropped.get(reason).copied().unwrap_or(0);
        let (a, b) = (of(native), of(tcx));
        let apart = allowed(native, tcx, reason, tick);
        holds &= a.abs_diff(b) <= apart && (apart as f64) < MEANINGFUL * native.offered as f64;
        details.push(format!(
            "{reason} {} / {} (may be {apart} apart)",
            count(a),
            count(b)
        ));
    }
    (holds, details.join(", "))
}

/// Packets that may be counted at one side alone: what one flood had more than the other, what was
/// lost on the wire, and what the budget earned that is counted under this reason.
fn allowed(native: &Side, tcx: &Side, reason: &str, tick: Duration) -> u64 {
    let lost = native.lost + tcx.lost;
    native.offered.abs_diff(tcx.offered) + lost + earned(native, tcx, reason, tick)
}

/// What the budget earned in the time by which the part that empties it lasted longer at one side.
/// Its clock sees each end of a part up to a tick late.
fn earned(native: &Side, tcx: &Side, reason: &str, tick: Duration) -> u64 {
    let Some(part) = EMPTIED.iter().position(|(name, _)| *name == reason) else {
        return 0;
    };
    let lasted = |side: &Side| side.seconds.get(part).copied().unwrap_or(0.0);
    let longer = (lasted(native) - lasted(tcx)).abs() + 2.0 * tick.as_secs_f64();
    let (_, per_second) = EMPTIED[part];
    (per_second as f64 * longer).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(4);

    fn counted(denied: u64, unestablished: u64) -> Side {
        Side {
            dropped: Reasons::from([
                ("denied".to_owned(), denied),
                ("unestablished_rate".to_owned(), unestablished),
            ]),
            offered: 10_000,
            lost: 0,
            seconds: vec![2.0, 2.0],
        }
    }

    fn agree(native: &Side, tcx: &Side) -> bool {
        compare(native, tcx, TICK).0
    }

    #[test]
    fn counts_that_no_clock_decides_are_the_same_to_the_packet() {
        let native = counted(500, 900);
        assert!(agree(&native, &counted(500, 900)));
        assert!(!agree(&native, &counted(501, 900)));
        assert!(!agree(&native, &counted(499, 900)));
    }

    #[test]
    fn a_budget_may_differ_by_what_it_earns_in_two_ticks() {
        let native = counted(500, 900);
        assert!(agree(&native, &counted(500, 908)));
        assert!(!agree(&native, &counted(500, 909)));
    }

    #[test]
    fn a_budget_may_differ_by_what_it_earns_in_the_time_that_its_part_lasted_longer() {
        let native = counted(500, 900);
        let mut tcx = counted(500, 912);
        assert!(!agree(&native, &tcx));
        tcx.seconds[0] += 0.004;
        assert!(!agree(&native, &tcx));
        tcx.seconds[1] += 0.004;
        assert!(agree(&native, &tcx));
    }

    #[test]
    fn packets_lost_or_not_offered_may_be_missing() {
        let native = counted(500, 900);
        let mut tcx = counted(497, 900);
        tcx.lost = 1;
        tcx.offered -= 2;
        assert!(agree(&native, &tcx));
        tcx.lost = 0;
        assert!(!agree(&native, &tcx));
    }

    #[test]
    fn no_verdicts_or_too_many_lost_packets_show_nothing() {
        assert!(!agree(&Side::default(), &Side::default()));
        let mut native = counted(500, 900);
        native.lost = 200;
        assert!(!agree(&native, &counted(500, 900)));
    }
}
