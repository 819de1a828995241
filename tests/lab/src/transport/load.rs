//! The client: works, and asks the server what that took.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use clap::Args;

use super::connection::Connection;
use super::end::End;
use super::meter::Meter;
use super::options::{EndOptions, Work};
use super::report::{Costs, LoadReport, Path, Times};
use super::work::{BULK, CHUNK, ECHO, MARK, MESSAGE};
use crate::cli::positive;
use crate::quic::tls::SERVER_NAME;

const SAMPLE: Duration = Duration::from_millis(10);
static ZEROES: [u8; CHUNK] = [0; CHUNK];

/// How to load a server.
#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    /// The server's address and port.
    #[arg(long)]
    pub target: SocketAddr,
    /// The address and port to send from.
    #[arg(long, default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))]
    pub source: SocketAddr,
    /// The authority that signed the server's certificate (PEM).
    #[arg(long)]
    pub ca: PathBuf,
    /// What to do.
    #[arg(long, value_enum)]
    pub work: Work,
    /// How long before it is measured.
    #[arg(long, default_value_t = 0.5, value_parser = positive)]
    pub warm: f64,
    /// How long it is measured.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub seconds: f64,
    /// The end.
    #[command(flatten)]
    pub end: EndOptions,
}

/// Whether the work is measured now, and whether it goes on.
#[derive(Debug, Default)]
struct Phase {
    measured: AtomicBool,
    over: AtomicBool,
}

/// Works, and reports. All of it among the runtime's own tasks: what `block_on` runs has a turn only
/// after each 61 of theirs.
pub async fn load(options: &LoadOptions) -> Result<LoadReport> {
    let end = End::client(&options.end, options.source, &options.ca).await?;
    let backend = end
        .backend(&options.end)
        .await
        .map_err(|why| anyhow!(why))?;
    let report = work(&end, options).await?;
    end.close().await;
    Ok(LoadReport { backend, ..report })
}

async fn work(end: &End, options: &LoadOptions) -> Result<LoadReport> {
    let phase = Arc::<Phase>::default();
    let connect = || end.connect(options.target, SERVER_NAME);
    let mut control = connect().await?;
    let sender = match options.work {
        Work::Rpc => None,
        _ => Some(tokio::spawn(send(connect().await?, phase.clone()))),
    };
    let asker = match options.work {
        Work::Bulk => None,
        _ => Some(tokio::spawn(ask(connect().await?, phase.clone()))),
    };
    let (client, server) = measure(end, &mut control, options, &phase).await?;
    let mut report = LoadReport::default();
    if let Some(asker) = asker {
        (report.requests, report.path) = asker.await??;
    }
    if let Some(sender) = sender {
        let requests = report.requests;
        report = LoadReport {
            requests,
            ..sender.await??
        };
    }
    Ok(LoadReport {
        client,
        server,
        ..report
    })
}

/// Warms up, measures, ends; what the client and the server took.
async fn measure(
    end: &End,
    control: &mut Connection,
    options: &LoadOptions,
    phase: &Phase,
) -> Result<(Costs, Costs)> {
    let meter = Meter::new(options.end.cpu);
    tokio::time::sleep(Duration::from_secs_f64(options.warm)).await;
    mark(control).await?;
    let before = meter.read(end)?;
    phase.measured.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let client = meter.read(end)?.since(before);
    phase.measured.store(false, Relaxed);
    let server = mark(control).await?;
    phase.over.store(true, Relaxed);
    Ok((client, server))
}

/// Asks the server what it took since it was last asked.
async fn mark(connection: &mut Connection) -> Result<Costs> {
    let (mut send, mut receive) = connection.open().await?;
    send.hurry()?;
    send.send(Bytes::from_static(&[MARK])).await?;
    send.finish()?;
    Ok(serde_json::from_slice(&receive.rest().await?)?)
}

/// Sends as fast as it goes, until it is over and the server has told what arrived.
async fn send(mut connection: Connection, phase: Arc<Phase>) -> Result<LoadReport> {
    let (mut send, mut receive) = connection.open().await?;
    send.send(Bytes::from_static(&[BULK])).await?;
    let (mut sent, mut rtts, mut next) = (0, Vec::new(), Instant::now());
    while !phase.over.load(Relaxed) {
        send.send(Bytes::from_static(&ZEROES)).await?;
        sent += CHUNK as u64;
        if phase.measured.load(Relaxed) && Instant::now() > next {
            rtts.extend(connection.path().map(nanos));
            next = Instant::now() + SAMPLE;
        }
    }
    send.finish()?;
    let mut count = [0; 8];
    ensure!(receive.fill(&mut count).await?, "the server said nothing");
    Ok(LoadReport {
        sent,
        arrived: u64::from_be_bytes(count),
        rtt: Times::of(rtts),
        path: connection.path(),
        ..LoadReport::default()
    })
}

fn nanos(path: Path) -> u64 {
    (path.rtt_us * 1e3) as u64
}

/// Asks and waits for the answer until it is over; how long each took that was measured.
async fn ask(mut connection: Connection, phase: Arc<Phase>) -> Result<(Times, Option<Path>)> {
    let (mut send, mut receive) = connection.open().await?;
    send.send(Bytes::from_static(&[ECHO])).await?;
    let mut times = Vec::new();
    let (mut number, mut answer) = (0u64, [0; MESSAGE]);
    while !phase.over.load(Relaxed) {
        number += 1;
        let mut question = [7; MESSAGE];
        question[..8].copy_from_slice(&number.to_be_bytes());
        let begin = Instant::now();
        send.send(Bytes::copy_from_slice(&question)).await?;
        ensure!(receive.fill(&mut answer).await?, "no answer");
        let time = begin.elapsed().as_nanos() as u64;
        ensure!(answer == question, "another answer");
        if phase.measured.load(Relaxed) {
            times.push(time);
        }
    }
    send.finish()?;
    Ok((Times::of(times), connection.path()))
}
