//! How many packets of a flood are dropped a second, by whom.

use std::iter::once;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::programs::XdpMode;

use super::cpu;
use super::figure::Figure;
use super::firewall::{Place, Rules, Work};
use super::node::{Node, PORT};
use super::policy;
use super::report::Spread;
use crate::flood::{Control, Flood, Kind, LOUD_SIZE as LOUD, Mix, Options, Target};
use crate::foreign::{Bare, ForeignXdp};
use crate::topology::{ETH, UPLINK};
use crate::{Pod, tool};

/// Templates of real Initials, all of them different; more would not fit the CPU's cache, and the
/// generator's misses would be in every rate.
const INITIALS: usize = 64;
/// How often a round goes through its contenders.
const TURNS: u32 = 4;

/// Who drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Stoq,
    Bare,
    Nft(Place, Work),
}

/// Runs the demo's flood against STOQ and against each figure's baseline in turn; the ratios of
/// all rounds.
pub(super) fn run(
    node: &mut Node,
    figures: &[Figure],
    rounds: u32,
    seconds: f64,
) -> Result<Vec<(Figure, Vec<f64>)>> {
    prepare(node)?;
    let baselines = figures.iter().map(|figure| baseline(*figure));
    let contenders = { once(Ok(Contender::Stoq)).chain(baselines) }.collect::<Result<Vec<_>>>()?;
    let mut flood = flood(node, Mix::DEMO, seconds)?;
    let mut ratios: Vec<_> = figures.iter().map(|figure| (*figure, vec![])).collect();
    for round in 1..=rounds {
        let rates = race(node, &mut flood, &contenders)?;
        let told = contenders.iter().zip(&rates);
        let told = told.map(|(who, rate)| format!("{who:?} {:.2}", rate / 1e6));
        let told = told.collect::<Vec<_>>().join(", ");
        eprintln!("drop, round {round}/{rounds}, Mpps: {told}");
        for ((_, ratios), rate) in ratios.iter_mut().zip(&rates[1..]) {
            ratios.push(rates[0] / rate);
        }
    }
    Ok(ratios)
}

/// Packets dropped per second by each. They take turns, so that what else the machine does for a
/// moment meets all of them.
fn race(node: &mut Node, flood: &mut Flood, contenders: &[Contender]) -> Result<Vec<f64>> {
    let mut sums = vec![(0, 0.0); contenders.len()];
    for _ in 0..TURNS {
        for (contender, (packets, seconds)) in contenders.iter().zip(&mut sums) {
            let (dropped, took) = measure(node, flood, *contender)?;
            *packets += dropped;
            *seconds += took;
        }
    }
    let rate = |(packets, seconds)| packets as f64 / seconds;
    Ok(sums.into_iter().map(rate).collect())
}

/// The same against a bare drop, one kind of packet at a time: lines of a table.
pub(super) fn by_kind(node: &mut Node, rounds: u32, seconds: f64) -> Result<Vec<String>> {
    prepare(node)?;
    let kinds = Kind::ALL.into_iter();
    { kinds }
        .map(|kind| {
            eprintln!("drop, {kind:?} alone");
            let mut flood = flood(node, Mix::only(kind), seconds)?;
            let mut ratios = Vec::new();
            let mut rates = Vec::new();
            for _ in 0..rounds {
                let both = race(node, &mut flood, &[Contender::Stoq, Contender::Bare])?;
                ratios.push(both[0] / both[1]);
                rates.push(both[0] / 1e6);
            }
            let (ratio, rate) = (Spread::of(&ratios), Spread::of(&rates));
            Ok(format!(
                "    {:<14}{ratio:<22}{rate:<22}",
                format!("{kind:?}")
            ))
        })
        .collect()
}

fn prepare(node: &mut Node) -> Result<()> {
    node.guard(policy::flooded()?)?;
    // Without it the stack takes no redirected frame: nft would have nothing to drop.
    node.lab.node.offload(UPLINK, "gro on")
}

fn baseline(figure: Figure) -> Result<Contender> {
    match figure {
        Figure::DropBare => Ok(Contender::Bare),
        Figure::DropPrerouting => Ok(Contender::Nft(Place::Prerouting, Work::Port)),
        Figure::DropIngress => Ok(Contender::Nft(Place::Ingress, Work::Port)),
        Figure::DropGuardPrerouting => Ok(Contender::Nft(Place::Prerouting, Work::Guard)),
        Figure::DropGuardIngress => Ok(Contender::Nft(Place::Ingress, Work::Guard)),
        other => anyhow::bail!("{} is no drop rate", other.name()),
    }
}

/// Packets dropped of one turn's flood, and its seconds; an error if not nearly all were.
fn measure(node: &mut Node, flood: &mut Flood, contender: Contender) -> Result<(u64, f64)> {
    let (report, dropped) = match contender {
        Contender::Stoq => {
            node.attach_native(UPLINK)?;
            let before = node.dropped()?;
            let report = flood.run(&Control::default());
            let after = node.dropped()?;
            node.detach_native(UPLINK)?;
            (report?, after - before)
        }
        Contender::Bare => {
            let attach = || ForeignXdp::attach(Bare::Drop, UPLINK, XdpMode::Driver);
            let _program = node.lab.node.run(attach)??;
            let before = xdp_drops(node)?;
            (flood.run(&Control::default())?, xdp_drops(node)? - before)
        }
        Contender::Nft(place, work) => {
            let rules = Rules::install(&node.lab.node, place, work)?;
            (flood.run(&Control::default())?, rules.dropped()?)
        }
    };
    let total = report.total;
    ensure!(
        dropped * 100 >= total * 99,
        "{contender:?} dropped {dropped} of {total}"
    );
    Ok((dropped, report.seconds))
}

/// What the uplink's driver counts of a program's drops.
fn xdp_drops(node: &Node) -> Result<u64> {
    let mut command = node.lab.node.command("ethtool");
    let statistics = tool::run(command.args(["-S", UPLINK]))?;
    let lines = statistics.lines().filter(|line| line.contains("xdp_drops"));
    { lines }
        .map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()))
        .sum::<Option<u64>>()
        .with_context(|| statistics.clone())
}

fn flood(node: &Node, mix: Mix, seconds: f64) -> Result<Flood> {
    flood_of(node, mix, seconds / f64::from(TURNS), LOUD)
}

/// The loud source's packets have `loud` bytes of payload.
pub(super) fn flood_of(node: &Node, mix: Mix, seconds: f64, loud: usize) -> Result<Flood> {
    let address = node.lab.node.ip(&format!("-br link show {UPLINK}"))?;
    let mac = address.split_whitespace().nth(2).context("no MAC")?;
    Flood::prepare(Options {
        netns: node.lab.client.path(),
        interface: ETH.to_owned(),
        target: Target {
            mac: mac.parse()?,
            address: SocketAddrV4::new(Pod::Routed.v4(), PORT),
        },
        mix,
        rate: None,
        duration: Some(Duration::from_secs_f64(seconds)),
        cpu: Some(cpu::measuring()),
        initials: INITIALS,
        loud,
        seed: 1,
        server_name: "pod.stoq.test".to_owned(),
        alpn: b"stoq-lab".to_vec(),
    })
}
