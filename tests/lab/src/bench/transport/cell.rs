//! One server, one client, one work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use stoq_ebpf::relay::Relay;

use super::backend::Backend;
use super::row::{self, Row};
use super::stage::Stage;
use crate::bench::cpu;
use crate::bench::node::PORT;
use crate::peers::peer;
use crate::process::{Process, Signal};
use crate::topology::{CLIENT_V4, ETH, UPLINK};
use crate::transport::{LoadReport, Started};
use crate::{Lab, Pod, RealTime, wait_for};

/// The agent hands over a socket within this time, or says why not.
const READY: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(30);
/// The agent's next pass, which begins at once, is over.
const SETTLED: Duration = Duration::from_millis(400);
/// Slow start, discovery of the size of datagrams, admission past the kernel.
const WARM: f64 = 0.5;

/// What came of it.
pub(super) enum Outcome {
    Measured(Box<Cell>),
    /// The server can't receive by that here, and why.
    Impossible(String),
}

/// One measurement.
pub(super) struct Cell {
    pub(super) report: LoadReport,
    /// What the server received by, in words.
    pub(super) backend: String,
    /// Packets that got lost between the client's device and the node's.
    pub(super) wire_drops: u64,
}

/// Runs it for some seconds.
pub(super) fn run(stage: &Stage<'_>, backend: Backend, row: Row, seconds: f64) -> Result<Outcome> {
    // Both ends, which this thread starts, go before whatever else the machine does.
    let _first = RealTime::begin()?;
    let (server, pod) = serve(stage, backend, row)?;
    let words = match server.1 {
        Started::Ready(words) => words,
        Started::Refused(why) if backend.is_guarded() => {
            let why = format!("{why}; the agent: {}", stage.agent_says()?);
            return Ok(Outcome::Impossible(why));
        }
        Started::Refused(why) => return Ok(Outcome::Impossible(why)),
    };
    let lab = stage.lab(backend);
    let before = wire_drops(lab)?;
    let report = load(lab, backend, row, pod, seconds)?;
    let cell = Cell {
        report,
        backend: words,
        wire_drops: wire_drops(lab)? - before,
    };
    server.0.signal(Signal::TERM)?;
    let status = server.0.wait(SOON)?;
    ensure!(status.success(), "the server: {status}");
    if backend.is_guarded() {
        no_relay(lab)?;
    }
    check(backend, &cell)?;
    Ok(Outcome::Measured(Box::new(cell)))
}

type Server = (Process, Started);

fn serve(stage: &Stage<'_>, backend: Backend, row: Row) -> Result<(Server, Pod)> {
    let lab = stage.lab(backend);
    let (netns, pod) = stage.server(backend);
    let mut command = peer(netns, "stoq-serve")?;
    command.args(["--listen", &format!("{}:{PORT}", pod.v4())]);
    command.arg("--cert").arg(&lab.identity().cert);
    command.arg("--key").arg(&lab.identity().key);
    command.arg("--bpffs").arg(lab.bpffs());
    command.args(["--datagram", &row.path.datagram.to_string()]);
    command.args(["--cpu", &cpu::measuring().to_string()]);
    let process = Process::start(command.args(backend.server(lab)))?;
    let started = serde_json::from_str(&process.line(READY)?)?;
    Ok(((process, started), pod))
}

fn load(lab: &Lab, backend: Backend, row: Row, pod: Pod, seconds: f64) -> Result<LoadReport> {
    let mut command = peer(&lab.client, "stoq-load")?;
    command.args(["--target", &format!("{}:{PORT}", pod.v4())]);
    command.args(["--source", &format!("{CLIENT_V4}:0")]);
    command.arg("--ca").arg(&lab.identity().ca);
    command.arg("--bpffs").arg(lab.bpffs());
    command.args(["--work", row::work(row.work)]);
    command.args([
        "--warm",
        &WARM.to_string(),
        "--seconds",
        &seconds.to_string(),
    ]);
    command.args(["--datagram", &row.path.datagram.to_string()]);
    command.args(["--cpu", &cpu::measuring().saturating_sub(1).to_string()]);
    let process = Process::start(command.args(backend.client(row.work)))?;
    process.report(SOON).context("the client")
}

/// Waits until the agent has removed the last server's relay, and gone by that for a while: the next
/// server is to have one of its own.
fn no_relay(lab: &Lab) -> Result<()> {
    let mut since = Instant::now();
    wait_for("the relay's end", SOON, || {
        if !lab.node.run(Relay::list).ok()?.ok()?.is_empty() {
            since = Instant::now();
        }
        (since.elapsed() > SETTLED).then_some(())
    })
}

/// Nothing is missing, and the packets came by what was asked for.
fn check(backend: Backend, cell: &Cell) -> Result<()> {
    let LoadReport {
        sent,
        arrived,
        server,
        ..
    } = &cell.report;
    ensure!(
        sent == arrived,
        "{sent} bytes were sent and {arrived} arrived"
    );
    let all = server.by_udp + server.by_af_xdp;
    ensure!(
        !backend.is_by_af_xdp() || server.by_af_xdp * 10 >= all * 9 && all > 0,
        "only {} of {all} came by AF_XDP ({})",
        server.by_af_xdp,
        cell.backend
    );
    Ok(())
}

fn wire_drops(lab: &Lab) -> Result<u64> {
    let client = lab.client.counters(ETH)?;
    let node = lab.node.counters(UPLINK)?;
    Ok(client.tx_dropped + node.rx_dropped)
}
