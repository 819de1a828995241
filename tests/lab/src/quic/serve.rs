//! The QUIC server of a pod.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use quinn::Endpoint;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::handler::Served;
use super::{Quantiles, QuinnTotals, SocketReport, TransportOptions};
use crate::process;

/// How long clients may take to acknowledge the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// The address and port to serve on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The server's certificate (PEM).
    #[arg(long)]
    pub cert: PathBuf,
    /// The server's key (PEM).
    #[arg(long)]
    pub key: PathBuf,
    /// How it sends.
    #[command(flatten)]
    pub transport: TransportOptions,
}

/// What a server saw, from its start to its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServeReport {
    /// Connections that began.
    pub accepted: u64,
    /// Connections whose handshake was completed.
    pub established: u64,
    /// Requests answered in full.
    pub answered: u64,
    /// Round-trip times as quinn estimated them, every 20 ms per connection, in seconds.
    pub rtt_s: Quantiles,
    /// Round trips of data that was sent, from packet to acknowledgement, one per round, in seconds.
    pub round_trips_s: Quantiles,
    /// quinn's statistics, over all established connections; quinn counts the first datagram of
    /// each at the endpoint and not here.
    pub quinn: QuinnTotals,
    /// What the socket carried.
    pub socket: SocketReport,
    /// CPU time of the process, in seconds.
    pub cpu_s: f64,
}

/// Serves until `stop` completes; calls `ready` with the bound address once it can be reached.
pub async fn serve(
    options: &ServeOptions,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<ServeReport> {
    let served = Arc::new(Served::default());
    let identity = (options.cert.as_path(), options.key.as_path());
    let endpoint = options
        .transport
        .server(options.listen, identity, &served.observed)?;
    ready(endpoint.local_addr()?);
    let mut connections = JoinSet::new();
    accept(&endpoint, &served, &mut connections, stop).await;
    endpoint.close(0u32.into(), b"end");
    while connections.join_next().await.is_some() {}
    let _ = tokio::time::timeout(FAREWELL, endpoint.wait_idle()).await;
    report(&served)
}

async fn accept(
    endpoint: &Endpoint,
    served: &Arc<Served>,
    connections: &mut JoinSet<()>,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(_) = connections.join_next() => {}
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => drop(connections.spawn(served.clone().connection(incoming))),
                None => return,
            },
        }
    }
}

fn report(served: &Served) -> Result<ServeReport> {
    Ok(ServeReport {
        accepted: served.accepted.load(Ordering::Relaxed),
        established: served.established.load(Ordering::Relaxed),
        answered: served.answered.load(Ordering::Relaxed),
        rtt_s: served.observed.rtt.quantiles(),
        round_trips_s: served.observed.round_trips.quantiles(),
        quinn: served.observed.totals(),
        socket: served.observed.sizes.report(),
        cpu_s: process::cpu_time(std::process::id())?.as_secs_f64(),
    })
}
