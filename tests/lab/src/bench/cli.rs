//! The `bench` command.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum as _};

use super::figure::Figure;
use super::machine::Machine;
use super::node::Node;
use super::report::{self, Measured};
use super::selection::Selection;
use super::transport::{self, Plan, Results};
use super::{accept, drop, pod, receive};
use crate::cli::positive;

const OUTPUT: &str = "target/bench.json";
const EXAMPLES: &str = "Examples:
  make bench                                  every figure
  target/release/bench --only transport       the transport matrix
  target/release/bench --only ratio.rpc --rounds 15
  target/release/bench --only guard.drop/bare
  target/release/bench --only pod.tcp/none --only pod.quic/none --rounds 11 --seconds 4";

/// Measures STOQ's promised figures, each against its baseline, in network namespaces (root).
///
/// Prints minimum, median and maximum over the rounds, and writes target/bench.json. A missed
/// target is marked and is no error; a run that lost a byte is.
#[derive(Debug, Parser)]
#[command(name = "bench", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Only this figure, or those whose names begin so; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How often everything is measured. Without it five times; of the transport matrix, what is
    /// promised five or seven times and the rest once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// How long each measurement of a rate lasts; in the transport matrix half as long.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    seconds: f64,
}

impl Cli {
    /// Measures and reports.
    pub fn run(self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            bail!("needs root, for network namespaces and BPF: sudo target/release/bench");
        }
        let only = Selection::new(self.only.clone());
        only.check(&names())?;
        println!("{}", Machine::here());
        let mut measured = self.figures(&only)?;
        let matrix = transport::run(Plan {
            only: &only,
            rounds: self.rounds,
            seconds: self.seconds / 2.0,
        })?;
        measured.extend_from_slice(&matrix.measured);
        report::write(Path::new(OUTPUT), &measured, &matrix.impossible)?;
        say(&measured, &matrix)
    }

    fn figures(&self, only: &Selection) -> Result<Vec<Measured>> {
        let all = [&DROPS[..], &COSTS, &RECEIVE_64, &RECEIVE_1200, &STREAMS];
        if all.iter().all(|figures| chosen(only, figures).is_empty()) {
            return Ok(Vec::new());
        }
        let (mut node, rounds) = (Node::up()?, self.rounds());
        let mut measured = Vec::new();
        let drops = chosen(only, &DROPS);
        if !drops.is_empty() {
            for (figure, ratios) in drop::run(&mut node, &drops, rounds, self.seconds)? {
                measured.push(self.measured(figure, &ratios));
            }
        }
        // Before there are flows, of which the flood's packets could be.
        if drops.contains(&Figure::DropBare) {
            println!("guard.drop/bare by kind of packet: ratio, and Mpps dropped by stoq_uplink");
            for line in drop::by_kind(&mut node, rounds, self.seconds / 4.0)? {
                println!("{line}");
            }
        }
        for figure in chosen(only, &COSTS) {
            let costs = accept::run(&mut node, figure, rounds)?;
            measured.push(self.measured(figure, &costs));
        }
        for (size, figures) in [(64, &RECEIVE_64), (1200, &RECEIVE_1200)] {
            let chosen = chosen(only, figures);
            if !chosen.is_empty() {
                let all = receive::run(&mut node, &chosen, size, rounds, self.seconds)?;
                measured.extend(
                    all.iter()
                        .map(|(figure, ratios)| self.measured(*figure, ratios)),
                );
            }
        }
        for figure in chosen(only, &STREAMS) {
            let ratios = pod::run(&mut node, figure, rounds, self.seconds)?;
            measured.push(self.measured(figure, &ratios));
        }
        Ok(measured)
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(5)
    }

    fn measured(&self, figure: Figure, values: &[f64]) -> Measured {
        let (rounds, seconds) = (self.rounds(), self.seconds);
        let (name, what) = (figure.name(), figure.what());
        let command =
            format!("bench --only {name} --rounds {rounds} --seconds {seconds}  # {what}");
        Measured::new(name, figure.unit(), figure.target(), values, command)
    }
}

/// Prints what was promised, and all that went wrong.
fn say(measured: &[Measured], matrix: &Results) -> Result<()> {
    let promised: Vec<_> = { measured.iter() }
        .filter(|figure| figure.is_promised() || !figure.is_of_the_matrix())
        .collect();
    for figure in &promised {
        println!("{figure}");
    }
    for one in &matrix.impossible {
        println!("{}: not possible: {}", one.name, one.not_possible);
    }
    let missed = promised.iter().filter(|figure| !figure.met()).count();
    println!(
        "{missed} of {} below target; all {} figures are in {OUTPUT}",
        promised.len(),
        measured.len()
    );
    for void in &matrix.void {
        eprintln!("void: {void}");
    }
    ensure!(
        matrix.void.is_empty(),
        "{} runs are void",
        matrix.void.len()
    );
    Ok(())
}

/// All that can be asked for.
fn names() -> Vec<String> {
    let figures = Figure::value_variants().iter();
    let figures = figures.map(|figure| figure.name().to_owned());
    figures.chain(transport::names()).collect()
}

fn chosen(only: &Selection, figures: &[Figure]) -> Vec<Figure> {
    let chosen = |figure: &&Figure| only.has(figure.name());
    figures.iter().filter(chosen).copied().collect()
}

const DROPS: [Figure; 5] = [
    Figure::DropBare,
    Figure::DropPrerouting,
    Figure::DropIngress,
    Figure::DropGuardPrerouting,
    Figure::DropGuardIngress,
];
const COSTS: [Figure; 3] = [Figure::Accept1, Figure::Accept50000, Figure::AcceptFull1];
const RECEIVE_64: [Figure; 4] = [
    Figure::Receive64Relay,
    Figure::Receive64RelayCpu,
    Figure::Receive64Direct,
    Figure::Receive64DirectCpu,
];
const RECEIVE_1200: [Figure; 4] = [
    Figure::Receive1200Relay,
    Figure::Receive1200RelayCpu,
    Figure::Receive1200Direct,
    Figure::Receive1200DirectCpu,
];
const STREAMS: [Figure; 2] = [Figure::PodTcp, Figure::PodQuic];
