//! Native and TCX under the same flood, packet for packet.

use anyhow::Result;

use super::outcome::Outcome;
use super::scene::Scene;
use super::show;
use super::stage::Stage;

/// A run has carried a rate when it offered this share of it,
const CARRIED: f64 = 0.98;
/// and lost no more than this share on the wire.
const LOST: f64 = 0.0001;
/// Packets per second that every rung carries: the uplink's ring of 256 holds what comes in 8 ms, so that
/// nothing is lost when other work holds the CPU up.
const COMMON: u64 = 30_000;
/// Seconds of each run of its own.
const SECONDS: u64 = 4;

/// A native and a TCX run that offered the same: those of `outcomes` if both carried their rate,
/// otherwise two more at a rate both carry.
pub(super) fn pair(stage: &Stage, outcomes: &[Outcome]) -> Result<(Outcome, Outcome)> {
    let of = |scene| outcomes.iter().find(|outcome| outcome.scene == scene);
    let (Some(native), Some(tcx)) = (of(Scene::NATIVE), of(Scene::TCX)) else {
        anyhow::bail!("a run is missing");
    };
    if carried(native, stage.rate()) && carried(tcx, stage.rate()) {
        return Ok((native.clone(), tcx.clone()));
    }
    let rate = COMMON.min(stage.rate());
    show::comparison(rate);
    Ok((
        stage.perform(Scene::NATIVE, rate, SECONDS)?,
        stage.perform(Scene::TCX, rate, SECONDS)?,
    ))
}

fn carried(outcome: &Outcome, rate: u64) -> bool {
    let offered = outcome.offered_pps();
    let lost = outcome.lost as f64 / outcome.seconds;
    offered >= CARRIED * rate as f64 && lost <= LOST * offered
}
