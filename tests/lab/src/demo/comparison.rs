//! Native and TCX under the same flood, packet for packet.

use anyhow::Result;

use super::offer::Offer;
use super::outcome::Outcome;
use super::policy;
use super::scene::Scene;
use super::show;
use super::stage::Stage;
use crate::flood::Mix;

/// Packets per second that every rung carries: with the clients' the uplink's ring of 256 holds what
/// comes in 12 ms, so that nothing is lost when other work holds the CPU up.
const RATE: u64 = 20_000;
/// Requests per second of the clients: enough to see that they pay for nothing.
const REQUESTS: u64 = 100;
/// Seconds of each part.
const SECONDS: u64 = 3;
/// How often a run is made at most: other work on the machine can hold up the flood or the wire.
const TRIES: u32 = 4;

/// The demo's flood in two parts, as Initials and other strangers share a budget: sent together,
/// which of them finds it empty is a matter of microseconds, and so is the reason that is counted.
/// The first part leaves that budget full for the second.
const PARTS: [Mix; 2] = [
    Mix {
        short_header: 0,
        loud: 0,
        ..Mix::DEMO
    },
    Mix {
        initial: 0,
        ..Mix::DEMO
    },
];

/// What a part's strangers are refused for, and what the budget that they empty earns a second.
pub(super) const EMPTIED: [(&str, u64); 2] = [
    ("unestablished_initial_rate", policy::INITIALS),
    ("unestablished_rate", policy::STRANGERS),
];

/// A native and a TCX run that are offered the same.
pub(super) fn pair(stage: &Stage) -> Result<(Outcome, Outcome)> {
    let offer = Offer {
        parts: &PARTS,
        rate: RATE.min(stage.rate()),
        seconds: SECONDS,
        requests: REQUESTS,
    };
    show::comparison(&offer);
    let native = whole(stage, Scene::NATIVE, &offer)?;
    let tcx = whole(stage, Scene::TCX, &offer)?;
    Ok((native, tcx))
}

/// A run of which every packet reached a hook; if none was, the one that misses fewest.
fn whole(stage: &Stage, scene: Scene, offer: &Offer) -> Result<Outcome> {
    let missing = |run: &Outcome| run.lost + offer.packets().abs_diff(run.offered());
    let mut best = stage.perform(scene, offer)?;
    for _ in 1..TRIES {
        if missing(&best) == 0 {
            break;
        }
        show::again(scene, missing(&best));
        let next = stage.perform(scene, offer)?;
        if missing(&next) < missing(&best) {
            best = next;
        }
    }
    Ok(best)
}
