//! The agent's loop: observe, plan, apply, report, and again when something changed.

mod agent;
mod shared;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

pub use shared::{Latest, Shared};

use crate::broker::Limits;
use crate::device_plugin::Kubelet;
use crate::node::Node;
use crate::serve;
use crate::source::{Source, SourceOptions};
use agent::Agent;

/// Between two looks at where packets go.
const TICK: Duration = Duration::from_secs(1);
/// Between two passes without an event, and between two sweeps of the flows.
const RESYNC: Duration = Duration::from_secs(5);

/// What `run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where the objects come from.
    pub source: SourceOptions,
    /// Names of the uplinks; empty: discovered.
    pub uplinks: Vec<String>,
    /// The node's own addresses in its cluster, whose interfaces are among those discovered.
    pub node_ips: Vec<IpAddr>,
    /// Where `status.json` goes.
    pub run_dir: PathBuf,
    /// Where a BPF file system is mounted.
    pub bpffs: PathBuf,
    /// Where `/metrics`, `/healthz`, `/readyz` and `/status` are served.
    pub http: SocketAddr,
    /// Entries of the flow table.
    pub flows: u32,
    /// Do without TCX.
    pub without_tcx: bool,
    /// What pods may have of AF_XDP.
    pub af_xdp: Limits,
    /// Whom pods ask for AF_XDP by a resource, where they do.
    pub kubelet: Option<Kubelet>,
}

/// Why the agent could not start at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where the objects come from.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// The network namespace can't be observed.
    #[error("observe the node: {0}")]
    Node(#[from] crate::node::ObserveError),
    /// Signals can't be caught.
    #[error("catch signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT. What is attached then stays: the next agent takes it over.
///
/// # Errors
/// Only at the start; later faults are reported and retried.
pub async fn run(options: RunOptions) -> Result<(), StartError> {
    let mut source = Source::open(&options.source, &options.run_dir).await?;
    let mut node = Node::observe().await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let shared = Shared::default();
    let mut agent = Agent::new(&options, shared.clone());
    source.report(&shared, agent.dataplane.maps());
    serve::spawn(options.http, shared, agent.dataplane.maps());
    let broker = agent.broker.clone();
    let mut ticks = tokio::time::interval(TICK);
    let mut due = true;
    let mut last = Instant::now();
    loop {
        if due || last.elapsed() >= RESYNC {
            match source.objects() {
                Ok(objects) => {
                    let state = node.state();
                    tokio::task::block_in_place(|| agent.pass(&state, &objects));
                }
                Err(why) => agent.put_off(why),
            }
            { agent.plan.unresolved() }.for_each(|missing| node.resolve(missing));
            last = Instant::now();
        }
        due = tokio::select! {
            more = source.changed() => { settled(!more).await; true }
            changed = node.changed() => {
                if changed.is_err() {
                    node = reobserve().await;
                }
                true
            }
            () = broker.changed() => true,
            _ = ticks.tick() => tokio::task::block_in_place(|| agent.look()),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
    }
}

/// A watcher that ended would wake the loop at once, for ever.
async fn settled(ended: bool) {
    if ended {
        tokio::time::sleep(RESYNC).await;
    }
}

async fn reobserve() -> Node {
    loop {
        match Node::observe().await {
            Ok(node) => return node,
            Err(error) => tracing::warn!("observe the node: {error}"),
        }
        tokio::time::sleep(RESYNC).await;
    }
}
