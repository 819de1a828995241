//! The client: works, and asks the server what that took.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
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
    measured: Cell<bool>,
    over: Cell<bool>,
}

/// Works, and reports.
pub async fn load(options: &LoadOptions) -> Result<LoadReport> {
    let end = End::client(&options.end, options.source, &options.ca).await?;
    let backend = end
        .backend(&options.end)
        .await
        .map_err(|why| anyhow!(why))?;
    let report = match options.work {
        Work::Bulk => bulk(&end, options).await?,
        Work::Rpc => rpc(&end, options).await?,
        Work::Loaded => loaded(&end, options).await?,
    };
    end.close().await;
    Ok(LoadReport { backend, ..report })
}

async fn bulk(end: &End, options: &LoadOptions) -> Result<LoadReport> {
    let mut connection = end.connect(options.target, SERVER_NAME).await?;
    let mut control = end.connect(options.target, SERVER_NAME).await?;
    let phase = Phase::default();
    let (sent, measured) = tokio::join!(
        send(&mut connection, &phase),
        measure(end, &mut control, options, &phase)
    );
    let (sent, (client, server)) = (sent?, measured?);
    Ok(LoadReport {
        client,
        server,
        ..sent
    })
}

async fn rpc(end: &End, options: &LoadOptions) -> Result<LoadReport> {
    let mut connection = end.connect(options.target, SERVER_NAME).await?;
    let mut control = end.connect(options.target, SERVER_NAME).await?;
    let phase = Phase::default();
    let (requests, measured) = tokio::join!(
        ask(&mut connection, &phase),
        measure(end, &mut control, options, &phase)
    );
    let (requests, (client, server)) = (Times::of(requests?), measured?);
    Ok(LoadReport {
        requests,
        path: connection.path(),
        client,
        server,
        ..LoadReport::default()
    })
}

async fn loaded(end: &End, options: &LoadOptions) -> Result<LoadReport> {
    let mut bulk = end.connect(options.target, SERVER_NAME).await?;
    let mut connection = end.connect(options.target, SERVER_NAME).await?;
    let mut control = end.connect(options.target, SERVER_NAME).await?;
    let phase = Phase::default();
    let (sent, requests, measured) = tokio::join!(
        send(&mut bulk, &phase),
        ask(&mut connection, &phase),
        measure(end, &mut control, options, &phase)
    );
    let (sent, requests, (client, server)) = (sent?, Times::of(requests?), measured?);
    Ok(LoadReport {
        requests,
        client,
        server,
        ..sent
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
    phase.measured.set(true);
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let client = meter.read(end)?.since(before);
    phase.measured.set(false);
    let server = mark(control).await?;
    phase.over.set(true);
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
async fn send(connection: &mut Connection, phase: &Phase) -> Result<LoadReport> {
    let (mut send, mut receive) = connection.open().await?;
    send.send(Bytes::from_static(&[BULK])).await?;
    let (mut sent, mut rtts, mut next) = (0, Vec::new(), Instant::now());
    while !phase.over.get() {
        send.send(Bytes::from_static(&ZEROES)).await?;
        sent += CHUNK as u64;
        if phase.measured.get() && Instant::now() > next {
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

/// Asks and waits for the answer until it is over; how long each took, ns, that was measured.
async fn ask(connection: &mut Connection, phase: &Phase) -> Result<Vec<u64>> {
    let (mut send, mut receive) = connection.open().await?;
    send.send(Bytes::from_static(&[ECHO])).await?;
    let mut times = Vec::new();
    let (mut number, mut answer) = (0u64, [0; MESSAGE]);
    while !phase.over.get() {
        number += 1;
        let mut question = [7; MESSAGE];
        question[..8].copy_from_slice(&number.to_be_bytes());
        let begin = Instant::now();
        send.send(Bytes::copy_from_slice(&question)).await?;
        ensure!(receive.fill(&mut answer).await?, "no answer");
        let time = begin.elapsed().as_nanos() as u64;
        ensure!(answer == question, "another answer");
        if phase.measured.get() {
            times.push(time);
        }
    }
    send.finish()?;
    Ok(times)
}
