//! What the demonstration must show.

use anyhow::{Context, Result};

use super::agreement;
use super::cpus;
use super::outcome::{Outcome, WOULD_DROP};
use super::scene::Scene;
use super::show::count;

/// Share of their quiet goodput that clients keep behind STOQ.
const KEEP: f64 = 0.8;
/// How many times more than without it.
const TIMES: f64 = 5.0;

/// One sentence, and whether it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    holds: bool,
    text: String,
}

impl Claim {
    pub(super) fn new(holds: bool, text: String) -> Self {
        Self { holds, text }
    }

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

/// Every claim over the five runs, and over the two that compare the rungs.
pub(super) fn all(outcomes: &[Outcome], (native, tcx): &(Outcome, Outcome)) -> Result<Vec<Claim>> {
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
        agreement::claim(native, tcx, cpus::tick()),
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
