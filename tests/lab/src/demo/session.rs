//! One continuous session for the picture: quiet, STOQ comes, flood, STOQ goes, the flood ends.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::agent::Agent;
use super::outcome::DROPPED;
use super::scene::Stoq;
use super::show;
use super::stage::{LOAD_ENDS, REQUESTS, Stage};
use crate::flood::{Control, Mix};
use crate::quic::{LoadReport, Second};
use crate::topology::ETH;

/// Seconds from the load's start to each event.
const STOQ_STARTS: u64 = 3;
const FLOOD_STARTS: u64 = 6;
const STOQ_ENDS: u64 = 14;
const FLOOD_ENDS: u64 = 19;
const END: u64 = 25;
const TICK: Duration = Duration::from_millis(250);

/// What happened, in seconds since the clients began.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Each second of the clients.
    pub(super) seconds: Vec<Second>,
    /// Counters, four times a second.
    pub(super) samples: Vec<Sample>,
    /// Start and end of the flood.
    pub(super) flood: [f64; 2],
    /// Start and end of STOQ.
    pub(super) stoq: [f64; 2],
}

/// Packets counted so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// When.
    pub(super) at: f64,
    /// Sent by the flood.
    pub(super) offered: u64,
    /// Arrived at the pod.
    pub(super) delivered: u64,
    /// Dropped by STOQ since it started; 0 while it is not there.
    pub(super) dropped: u64,
}

/// Plays it.
pub(super) fn play(stage: &Stage) -> Result<Session> {
    show::session(END);
    let mut flood = stage.flood(Mix::DEMO, stage.rate(), None)?;
    let _server = stage.serve()?;
    let load = stage.load(REQUESTS, END, 0)?;
    let begin = Instant::now();
    let (control, over) = (Control::default(), AtomicBool::new(false));
    let (acts, samples) = thread::scope(|scope| {
        let sampling = scope.spawn(|| sample(stage, &control, &over));
        let acts = acts(stage, begin, &control, || {
            scope.spawn(|| flood.run(&control));
        });
        control.stop();
        over.store(true, Relaxed);
        (
            acts,
            sampling.join().unwrap_or_else(|panic| resume_unwind(panic)),
        )
    });
    let load: LoadReport = load.report(LOAD_ENDS)?;
    Ok(session(&load, acts?, samples?))
}

/// The events in their order; start and end of flood and STOQ, in seconds since 1970.
fn acts(stage: &Stage, begin: Instant, flood: &Control, start: impl FnOnce()) -> Result<[f64; 4]> {
    let wait = |seconds| {
        let moment = begin + Duration::from_secs(seconds);
        stage.interrupt.wait_until(moment)
    };
    wait(STOQ_STARTS)?;
    let stoq_starts = now()?;
    let agent = Agent::start(&stage.lab, Stoq::Native)?;
    wait(FLOOD_STARTS)?;
    let flood_starts = now()?;
    start();
    wait(STOQ_ENDS)?;
    let stoq_ends = now()?;
    agent.remove()?;
    wait(FLOOD_ENDS)?;
    let flood_ends = now()?;
    flood.stop();
    wait(END)?;
    Ok([flood_starts, flood_ends, stoq_starts, stoq_ends])
}

/// Reads the counters again and again, until it is over.
fn sample(stage: &Stage, flood: &Control, over: &AtomicBool) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut due = Instant::now();
    while !over.load(Relaxed) {
        let metrics = Agent::scrape(&stage.lab).unwrap_or_default();
        samples.push(Sample {
            at: now()?,
            offered: flood.offered().iter().sum(),
            delivered: stage.lab.pod.counters(ETH)?.rx_packets,
            dropped: metrics.reasons(DROPPED, None).values().sum(),
        });
        due += TICK;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(samples)
}

/// Moves everything to the clock of the clients.
fn session(
    load: &LoadReport,
    [flood, flood_end, stoq, stoq_end]: [f64; 4],
    mut samples: Vec<Sample>,
) -> Session {
    let zero = load.started_unix_s;
    for sample in &mut samples {
        sample.at -= zero;
    }
    Session {
        seconds: load.series.iter().take(END as usize).copied().collect(),
        samples,
        flood: [flood - zero, flood_end - zero],
        stoq: [stoq - zero, stoq_end - zero],
    }
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}
