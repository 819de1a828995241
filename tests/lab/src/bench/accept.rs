//! What the guard costs a packet that it lets pass.

use anyhow::{Context, Result, bail, ensure};
use aya::Ebpf;
use aya::maps::{MapData, ProgramArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};

use super::figure::Figure;
use super::node::Node;
use super::{cpu, frame, policy};
use crate::lab_programs;
use crate::layout::VARY_SOURCES;

const REPEAT: u32 = 1_000_000;
const XDP_PASS: u32 = 2;

/// Test runs of STOQ and of a program that only passes, in turn; the differences of all rounds.
pub(super) fn run(node: &mut Node, figure: Figure, rounds: u32) -> Result<Vec<f64>> {
    let (policy, flows) = match figure {
        Figure::Accept1 => (policy::accepting(), 1),
        Figure::Accept50000 => (policy::accepting(), VARY_SOURCES),
        Figure::AcceptFull1 => (policy::full()?, 1),
        other => bail!("{} is no cost", other.name()),
    };
    let endpoint = node.guard(policy)?;
    // Host number 1000 alone: below it lies what the full policy denies.
    let hosts = if flows == 1 {
        1000..1001
    } else {
        0..flows as u16
    };
    node.establish(&endpoint, hosts.map(frame::source))?;
    cpu::pinned(|| differences(node, figure, rounds))
}

fn differences(node: &mut Node, figure: Figure, rounds: u32) -> Result<Vec<f64>> {
    let mut bench = Bench::load(figure == Figure::Accept50000)?;
    // The first runs warm up.
    bench.cost(None)?;
    bench.cost(Some(node.uplink()?))?;
    let before = node.dropped()?;
    let mut differences = Vec::new();
    for round in 1..=rounds {
        let pass = bench.cost(None)?;
        let stoq = bench.cost(Some(node.uplink()?))?;
        let name = figure.name();
        eprintln!("{name}, round {round}/{rounds}: stoq {stoq} ns, pass {pass} ns");
        differences.push(stoq - pass);
    }
    let dropped = node.dropped()? - before;
    ensure!(dropped == 0, "{dropped} packets found no flow");
    Ok(differences)
}

/// The lab's own programs: what passes, and what varies the source on the way to either.
struct Bench {
    ebpf: Ebpf,
    next: ProgramArray<MapData>,
    vary: bool,
}

impl Bench {
    fn load(vary: bool) -> Result<Self> {
        let mut ebpf = lab_programs::load()?;
        let next = ebpf.take_map("VARY_NEXT").context("no map VARY_NEXT")?;
        for name in ["lab_pass", "lab_vary"] {
            lab_programs::xdp(&mut ebpf, name)?.load()?;
        }
        Ok(Self {
            ebpf,
            next: next.try_into()?,
            vary,
        })
    }

    /// What a run of `stoq`, or else of the passing program, takes.
    fn cost(&mut self, stoq: Option<&Xdp>) -> Result<f64> {
        let pass: &Xdp = lab_programs::xdp(&mut self.ebpf, "lab_pass")?;
        let measured = stoq.unwrap_or(pass);
        if !self.vary {
            return test_run(measured);
        }
        self.next.set(0, measured.fd()?, 0)?;
        test_run(lab_programs::xdp(&mut self.ebpf, "lab_vary")?)
    }
}

/// Nanoseconds of a run, on average.
fn test_run(program: &Xdp) -> Result<f64> {
    let frame = frame::established(1000);
    let result = program.test_run(TestRunOptions {
        data_in: Some(&frame),
        repeat: REPEAT,
        ..TestRunOptions::default()
    })?;
    let verdict = result.return_value;
    ensure!(verdict == XDP_PASS, "verdict {verdict}");
    Ok(result.duration.as_nanos() as f64)
}
