//! The `bench` command.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Parser;

use super::figure::Figure;
use super::machine::Machine;
use super::node::Node;
use super::report::{self, Measured};
use super::{accept, drop, pod, receive};
use crate::cli::positive;

const OUTPUT: &str = "target/bench.json";
const EXAMPLES: &str = "Examples:
  make bench                                  every figure, five rounds of two seconds
  target/release/bench --only guard.drop/bare
  target/release/bench --only pod.tcp/none --only pod.quic/none --rounds 11 --seconds 4";

/// Measures STOQ's promised figures, each against its baseline, in network namespaces (root).
///
/// Prints minimum, median and maximum over the rounds, and writes target/bench.json. A missed
/// target is marked and is no error.
#[derive(Debug, Parser)]
#[command(name = "bench", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Only this figure; may be given more than once.
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Figure>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement of a rate lasts.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    seconds: f64,
}

impl Cli {
    /// Measures and reports.
    pub fn run(self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            bail!("needs root, for network namespaces and BPF: sudo target/release/bench");
        }
        println!("{}", Machine::here());
        let measured = self.measure()?;
        for figure in &measured {
            println!("{figure}");
        }
        report::write(Path::new(OUTPUT), &measured)?;
        let missed = measured.iter().filter(|figure| !figure.met()).count();
        println!("{missed} of {} below target; see {OUTPUT}", measured.len());
        Ok(())
    }

    fn measure(&self) -> Result<Vec<Measured>> {
        let mut node = Node::up()?;
        let mut measured = Vec::new();
        let drops = self.chosen(&DROPS);
        if !drops.is_empty() {
            for (figure, ratios) in drop::run(&mut node, &drops, self.rounds, self.seconds)? {
                measured.push(self.measured(figure, &ratios));
            }
        }
        // Before there are flows, of which the flood's packets could be.
        if drops.contains(&Figure::DropBare) {
            println!("guard.drop/bare by kind of packet: ratio, and Mpps dropped by stoq_uplink");
            for line in drop::by_kind(&mut node, self.rounds, self.seconds / 4.0)? {
                println!("{line}");
            }
        }
        for figure in self.chosen(&COSTS) {
            let costs = accept::run(&mut node, figure, self.rounds)?;
            measured.push(self.measured(figure, &costs));
        }
        for (size, figures) in [(64, &RECEIVE_64), (1200, &RECEIVE_1200)] {
            let chosen = self.chosen(figures);
            if !chosen.is_empty() {
                let all = receive::run(&mut node, &chosen, size, self.rounds, self.seconds)?;
                measured.extend(
                    all.iter()
                        .map(|(figure, ratios)| self.measured(*figure, ratios)),
                );
            }
        }
        for figure in self.chosen(&STREAMS) {
            let ratios = pod::run(&mut node, figure, self.rounds, self.seconds)?;
            measured.push(self.measured(figure, &ratios));
        }
        Ok(measured)
    }

    fn chosen(&self, figures: &[Figure]) -> Vec<Figure> {
        let chosen = |figure: &&Figure| self.only.is_empty() || self.only.contains(*figure);
        figures.iter().filter(chosen).copied().collect()
    }

    fn measured(&self, figure: Figure, values: &[f64]) -> Measured {
        let (rounds, seconds) = (self.rounds, self.seconds);
        let (name, what) = (figure.name(), figure.what());
        let command =
            format!("bench --only {name} --rounds {rounds} --seconds {seconds}  # {what}");
        Measured::new(figure, values, command)
    }
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
