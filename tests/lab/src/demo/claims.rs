//! What the demonstration must show.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::metrics::Reasons;
use super::outcome::{Outcome, WOULD_DROP};
use super::scene::Scene;
use super::show::{count, rate};

/// Share of their quiet goodput that clients keep behind STOQ.
const KEEP: f64 = 0.8;
/// How many times more than without it.
const TIMES: f64 = 5.0;

/// A comparison to within more than this share of the packets means nothing.
const MEANINGFUL: f64 = 0.02;
/// The far end's ring, and the queue behind it.
const IN_FLIGHT: u64 = 256 + 1000;
/// What all budgets of the policy earn in a second.
const BUDGETS: f64 = 40_000.0 + 5000.0 + 500.0;

/// One sentence, and whether it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    holds: bool,
    text: String,
}

impl Claim {
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// `PASS` or `FAIL`, and the sentence with its numbers.
    pub(super) fn line(&self) -> String {
        format!(
            "{}  {}",
            if self.holds { "PASS" } else { "FAIL" },
            self.text
        )
    }
}

/// Every claim over the five runs; the rungs are compared by the last two outcomes.
pub(super) fn all(outcomes: &[Outcome], native: &Outcome, tcx: &Outcome) -> Result<Vec<Claim>> {
    let of = |scene: Scene| {
        let found = outcomes.iter().find(|outcome| outcome.scene == scene);
        found.with_context(|| format!("no run {}", scene.name))
    };
    let quiet = of(Scene::QUIET)?.goodput_bps;
    let without = of(Scene::WITHOUT)?.goodput_bps;
    let guarded = of(Scene::NATIVE)?.goodput_bps;
    Ok(vec![
        keeps(guarded, quiet),
        outdoes(guarded, without),
        agree(native, tcx),
        only_counts(of(Scene::MONITOR)?),
    ])
}

fn keeps(guarded: f64, quiet: f64) -> Claim {
    let share = guarded / quiet;
    Claim {
        holds: share >= KEEP,
        text: format!(
            "flooded behind STOQ (native), clients keep {:.0} % of their quiet goodput (>= 80 %)",
            share * 100.0
        ),
    }
}

fn outdoes(guarded: f64, without: f64) -> Claim {
    let times = match guarded / without {
        times if times < 1000.0 => format!("{times:.1} times"),
        _ => "over 1000 times".to_owned(),
    };
    Claim {
        holds: guarded >= TIMES * without && guarded > 0.0,
        text: format!("that is {times} what they keep without STOQ (>= 5 times)"),
    }
}

fn agree(native: &Outcome, tcx: &Outcome) -> Claim {
    let (left, right) = (native.dropped(), tcx.dropped());
    let reasons: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let count_of = |side: &Reasons, reason| side.get(reason).copied().unwrap_or(0);
    let allowed = allowed(native, tcx);
    let mut details = Vec::new();
    // A machine so busy that much is lost before any hook shows nothing either way.
    let seen = native.offered_pps() * native.seconds;
    let mut holds = !reasons.is_empty() && (allowed as f64) < MEANINGFUL * seen;
    for reason in reasons {
        let (a, b) = (count_of(&left, reason), count_of(&right, reason));
        holds &= a.abs_diff(b) <= allowed;
        details.push(format!("{reason} {} / {}", count(a), count(b)));
    }
    Claim {
        holds,
        text: format!(
            "every verdict count is the same at native and at TCX, at {}, to within {} packets \
             (in flight, or lost on the wire): {}",
            rate(native.offered_pps()),
            count(allowed),
            details.join(", ")
        ),
    }
}

/// Packets that may be counted at one side alone: what one run was offered more than the other,
/// what was lost on the wire before any hook, what rings and queues held when the counters were read, and what the budgets earned in the
/// time by which one run was longer.
fn allowed(native: &Outcome, tcx: &Outcome) -> u64 {
    let flood = |outcome: &Outcome| {
        outcome
            .flood
            .as_ref()
            .map_or((0, 0.0), |f| (f.total, f.seconds))
    };
    let ((packets, seconds), (others, other_seconds)) = (flood(native), flood(tcx));
    let earned = (seconds - other_seconds).abs() * BUDGETS;
    packets.abs_diff(others) + native.lost + tcx.lost + IN_FLIGHT + earned as u64
}

fn only_counts(monitor: &Outcome) -> Claim {
    let would: u64 = monitor.metrics.reasons(WOULD_DROP, None).values().sum();
    let dropped: u64 = monitor.dropped().values().sum();
    Claim {
        holds: dropped == 0 && would > 0,
        text: format!(
            "Monitor drops {} and counts {} that Enforce would have dropped",
            count(dropped),
            count(would)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodput_is_kept_from_four_fifths_on() {
        for (guarded, holds) in [(100.0, true), (80.0, true), (79.0, false)] {
            assert_eq!(keeps(guarded, 100.0).holds, holds, "{guarded}");
        }
    }

    #[test]
    fn nothing_left_without_stoq_is_outdone_by_something() {
        for (guarded, without, holds) in [(50.0, 0.0, true), (0.0, 0.0, false), (49.0, 10.0, false)]
        {
            assert_eq!(
                outdoes(guarded, without).holds,
                holds,
                "{guarded} {without}"
            );
        }
    }
}
