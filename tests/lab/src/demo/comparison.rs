//! Native and TCX under the same flood, packet for packet.

use anyhow::Result;

use super::outcome::Outcome;
use super::scene::Scene;
use super::show;
use super::stage::Stage;

/// A run has carried a rate when it offered this share of it.
const CARRIED: f64 = 0.98;
/// What is left to a rung that has reached its limit.
const EASE: f64 = 0.6;
/// Seconds of each run of its own.
const SECONDS: u64 = 3;

/// A native and a TCX run that offered the same: those of `outcomes` if both carried their rate,
/// otherwise two more at a rate both carry.
pub(super) fn pair(stage: &Stage, outcomes: &[Outcome]) -> Result<(Outcome, Outcome)> {
    let of = |scene| outcomes.iter().find(|outcome| outcome.scene == scene);
    let (Some(native), Some(tcx)) = (of(Scene::NATIVE), of(Scene::TCX)) else {
        anyhow::bail!("a run is missing");
    };
    let slowest = native.offered_pps().min(tcx.offered_pps());
    if slowest >= CARRIED * stage.rate() as f64 {
        return Ok((native.clone(), tcx.clone()));
    }
    let rate = common(slowest);
    show::comparison(slowest, rate);
    Ok((
        stage.perform(Scene::NATIVE, rate, SECONDS)?,
        stage.perform(Scene::TCX, rate, SECONDS)?,
    ))
}

/// A round rate below what the slower of the two has carried.
fn common(slowest: f64) -> u64 {
    ((slowest * EASE / 10_000.0) as u64).max(1) * 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_rate_is_round_and_lower() {
        assert_eq!(common(543_210.0), 320_000);
        assert_eq!(common(100.0), 10_000);
    }
}
