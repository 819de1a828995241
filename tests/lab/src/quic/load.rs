//! Many QUIC clients at a steady rate that does not wait for answers, or in bulk.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::observe::Observed;
use super::quantiles::Samples;
use super::requester::Shared;
use super::series::Series;
use super::{Quantiles, QuinnTotals, Second, SocketReport, TransportOptions};
use crate::cli::positive;
use crate::process;

/// How to load a server.
#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    /// The server's address and port.
    #[arg(long)]
    pub target: SocketAddr,
    /// The authority that signed the server's certificate (PEM).
    #[arg(long)]
    pub ca: PathBuf,
    /// The address the clients send from; any without.
    #[arg(long)]
    pub source: Option<IpAddr>,
    /// How many clients, each with a connection and a socket of its own.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: u32,
    /// Requests per second, of all clients together.
    #[arg(long, default_value_t = 1000.0, value_parser = positive)]
    pub rate: f64,
    /// Size of each request's body in bytes.
    #[arg(long, default_value_t = 0)]
    pub request: usize,
    /// Size of each response in bytes.
    #[arg(long, default_value_t = 1000)]
    pub response: u64,
    /// How long.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub seconds: f64,
    /// Leave out of `measured` what happens in the first so many seconds.
    #[arg(long, default_value_t = 0)]
    pub skip: usize,
    /// A request not answered after this many seconds has failed.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    pub timeout: f64,
    /// Instead of a rate: each client always has one response on its way.
    #[arg(long)]
    pub bulk: bool,
    /// Connect each client only when its first request is due, instead of all at the start.
    #[arg(long)]
    pub stagger: bool,
    /// Move every client to another local port after this many seconds (connection migration).
    #[arg(long, value_parser = positive)]
    pub rebind_after: Option<f64>,
    /// How it sends.
    #[command(flatten)]
    pub transport: TransportOptions,
}

impl LoadOptions {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How many of all requests fall to the client of this number.
    pub(super) fn share(&self, index: u32) -> u64 {
        let all = (self.rate * self.seconds).round() as u64;
        let (clients, index) = (u64::from(self.clients), u64::from(index));
        all.saturating_sub(index).div_ceil(clients)
    }

    /// When requests of the client of this number are due: the first, after the start, and how
    /// far apart.
    pub(super) fn pace(&self, index: u32) -> (Duration, Duration) {
        let clients = f64::from(self.clients);
        let period = Duration::from_secs_f64(clients / self.rate);
        (period.mul_f64(f64::from(index) / clients), period)
    }

    pub(super) fn local(&self) -> SocketAddr {
        let any = match self.target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(self.source.unwrap_or(any), 0)
    }
}

/// What became of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// When it began, in seconds since 1970.
    pub started_unix_s: f64,
    /// How long requests were sent, in seconds.
    pub seconds: f64,
    /// Requests answered in full, in time.
    pub ok: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Answered requests per second.
    pub requests_per_s: f64,
    /// Response bits that arrived per second.
    pub goodput_bps: f64,
    /// Latency of the answered requests, in seconds.
    pub latency_s: Quantiles,
    /// The same, second by second of the answer.
    pub series: Vec<Second>,
    /// All whole seconds from `--skip` to the end of sending, as one.
    pub measured: Second,
    /// Connections begun.
    pub opened: u64,
    /// Connections whose handshake was completed.
    pub established: u64,
    /// Clients that moved to another port.
    pub rebound: u64,
    /// Handshake time of each established connection, in seconds.
    pub handshakes_s: Vec<f64>,
    /// Round-trip times as quinn estimated them, every 20 ms per connection, in seconds.
    pub rtt_s: Quantiles,
    /// quinn's statistics, over all established connections.
    pub quinn: QuinnTotals,
    /// What the sockets carried.
    pub socket: SocketReport,
    /// CPU time of the process, in seconds.
    pub cpu_s: f64,
}

/// Runs the load to its end.
pub async fn load(options: LoadOptions) -> Result<LoadReport> {
    let started_unix_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let start = Instant::now();
    let observed = Arc::new(Observed::default());
    let shared = Arc::new(Shared {
        config: options.transport.client_config(&options.ca, &observed)?,
        start,
        series: Series::new(start),
        handshakes: Samples::default(),
        opened: AtomicU64::new(0),
        established: AtomicU64::new(0),
        rebound: AtomicU64::new(0),
        observed,
        options,
    });
    let mut clients = JoinSet::new();
    for index in 0..shared.options.clients {
        clients.spawn(shared.clone().client(index));
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    report(&shared, started_unix_s)
}

fn report(shared: &Shared, started_unix_s: f64) -> Result<LoadReport> {
    let series = shared.series.seconds();
    let seconds = shared.options.seconds;
    let sum = |field: fn(&Second) -> u64| series.iter().map(field).sum::<u64>();
    let (ok, bytes) = (sum(|s| s.ok), sum(|s| s.bytes));
    Ok(LoadReport {
        started_unix_s,
        seconds,
        ok,
        failed: sum(|s| s.failed),
        requests_per_s: ok as f64 / seconds,
        goodput_bps: bytes as f64 * 8.0 / seconds,
        latency_s: shared.series.latency(),
        measured: shared.series.between(shared.options.skip, seconds as usize),
        opened: shared.opened.load(Ordering::Relaxed),
        established: shared.established.load(Ordering::Relaxed),
        rebound: shared.rebound.load(Ordering::Relaxed),
        handshakes_s: shared
            .handshakes
            .all()
            .into_iter()
            .map(|us| f64::from(us) / 1e6)
            .collect(),
        rtt_s: shared.observed.rtt.quantiles(),
        quinn: shared.observed.totals(),
        socket: shared.observed.sizes.report(),
        cpu_s: process::cpu_time(std::process::id())?.as_secs_f64(),
        series,
    })
}
