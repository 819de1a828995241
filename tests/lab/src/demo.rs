//! The demonstration: one QUIC service with real clients, flooded without STOQ and with it.

pub(crate) mod agent;
mod agreement;
mod chart;
mod claims;
mod comparison;
mod cpus;
mod interrupt;
mod metrics;
mod offer;
mod options;
mod outcome;
mod plot;
mod policy;
mod record;
mod scene;
mod session;
mod show;
mod snapshot;
mod stage;
mod table;

pub use options::Options;

use std::fs;

use anyhow::{Context, Result};

use agent::Agent;
use claims::Claim;
use offer::Offer;
use outcome::Outcome;
use scene::Scene;
use stage::{REQUESTS, Stage};

use crate::flood::Mix;

/// Runs all of it, prints what came of it and writes `demo.json` and `demo.svg`; whether every
/// claim holds. What it builds is gone when it returns.
pub fn run(options: &Options) -> Result<bool> {
    Agent::binary()?;
    fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let stage = Stage::set(options)?;
    show::opening(&stage);
    let outcomes = outcomes(&stage)?;
    let rungs = comparison::pair(&stage)?;
    let session = session::play(&stage)?;
    let claims = claims::all(&outcomes, &rungs)?;
    print!("{}", table::results(&outcomes));
    print!("{}", table::drops(&outcomes));
    show::metrics(&outcomes);
    record::write(&options.out, stage.cpus.count, &outcomes)?;
    chart::write(&options.out, &session)?;
    show::closing(options, &claims);
    Ok(claims.iter().all(Claim::holds))
}

fn outcomes(stage: &Stage) -> Result<Vec<Outcome>> {
    let offer = Offer {
        parts: &[Mix::DEMO],
        rate: stage.rate(),
        seconds: stage.seconds(),
        requests: REQUESTS,
    };
    let runs = Scene::ALL.into_iter();
    { runs }
        .map(|scene| {
            show::begin(scene);
            let outcome = stage.perform(scene, &offer)?;
            show::end(&outcome);
            Ok(outcome)
        })
        .collect()
}
