//! What STOQ's hooks at the host sides of two pods leave of a stream between them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::bulk::Stream;
use super::figure::Figure;
use super::node::Node;
use super::policy;
use crate::{Pod, wait_for};

const PODS: [&str; 2] = ["cali0", "vethb0"];
/// Past slow start and the first MTU probes.
const WARM: u64 = 200_000_000;
const SOON: Duration = Duration::from_secs(20);
/// Whether the hooks are there, in the order that a slow drift of the machine favours neither.
const TURNS: [bool; 4] = [false, true, true, false];
/// How often a round goes through the turns: short ones meet the same neighbours.
const REPEATS: usize = 10;

/// A fresh connection each round, and within it the hooks come and go; the ratios of all rounds.
pub(super) fn run(node: &mut Node, figure: Figure, rounds: u32, seconds: f64) -> Result<Vec<f64>> {
    node.guard(policy::between_pods())?;
    (1..=rounds)
        .map(|round| {
            let turns = REPEATS * TURNS.len() / 2;
            let slot = Duration::from_secs_f64(seconds / turns as f64);
            let [without, with] = speeds(node, figure, slot)?;
            let name = figure.name();
            let [none, stoq] = [without, with].map(|speed| speed * 8.0 / 1e9);
            eprintln!("{name}, round {round}/{rounds}: stoq {stoq:.2} Gbit/s, none {none:.2}");
            Ok(with / without)
        })
        .collect()
}

/// Bytes per second without and with the hooks, on the wire of the routed pod.
fn speeds(node: &mut Node, figure: Figure, slot: Duration) -> Result<[f64; 2]> {
    let start = carried(node)?;
    let _stream = match figure {
        Figure::PodTcp => Stream::tcp(&node.lab)?,
        Figure::PodQuic => Stream::quic(&node.lab)?,
        other => bail!("{} is no stream", other.name()),
    };
    wait_for("a running stream", SOON, || {
        carried(node).ok().filter(|now| *now > start + WARM)
    })?;
    let mut sums = [0.0; 2];
    for hooked in [TURNS; REPEATS].into_iter().flatten() {
        sums[usize::from(hooked)] += turn(node, hooked, slot)?;
    }
    let turns = (REPEATS * TURNS.len() / 2) as f64;
    Ok(sums.map(|sum| sum / turns))
}

fn turn(node: &mut Node, hooked: bool, slot: Duration) -> Result<f64> {
    for interface in PODS {
        if hooked {
            node.attach_pod(interface)?;
        } else {
            node.detach_pod(interface)?;
        }
    }
    let (before, start) = (carried(node)?, Instant::now());
    sleep(slot);
    let speed = (carried(node)? - before) as f64 / start.elapsed().as_secs_f64();
    Ok(speed)
}

/// Bytes both ways at the host side of the routed pod.
fn carried(node: &Node) -> Result<u64> {
    let interface = Pod::Routed.host_interface().unwrap_or_default();
    let counters = node.lab.node.counters(interface)?;
    Ok(counters.rx_bytes + counters.tx_bytes)
}
