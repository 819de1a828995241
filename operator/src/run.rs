//! Running: the loop around the decisions.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::Config;
use stoq_crds::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::controller::{Controller, Done};
use crate::leader::{Candidate, Leads};
use crate::metrics::Metrics;
use crate::random;
use crate::serve::{self, Shared};
use crate::watches::{Watches, watches};
use crate::write::Writer;

/// News that are taken in before anything is decided.
const BATCH: usize = 256;
/// Between two turns of the loop without news.
const TICK: Duration = Duration::from_secs(1);
/// Writes under way at a time.
const AT_ONCE: usize = 4;

/// What `run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Namespace of the Lease and of the ConfigMap of node addresses.
    pub namespace: String,
    /// What this one is called; the name of its pod.
    pub name: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub http: SocketAddr,
    /// How long an agent may be silent before its node counts as unknown.
    pub stale_after: Duration,
    /// How long the Lease holds without being renewed.
    pub lease_duration: Duration,
}

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody says where the API server is.
    #[error("find the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// No client can be made of what was found.
    #[error("make a client: {0}")]
    Client(#[from] kube::Error),
    /// Two metrics of one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Signals can't be caught.
    #[error("catch signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs until SIGTERM or SIGINT; then gives the Lease back.
///
/// # Errors
/// Only at the start; later faults are counted, logged and retried.
pub async fn run(options: RunOptions) -> Result<(), StartError> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let client = stoq_daemon::client(Config::infer().await?)?;
    let metrics = Metrics::new()?;
    let shared = Shared::default();
    serve::spawn(options.http, &shared, metrics.clone());
    let candidate = Candidate {
        client: client.clone(),
        namespace: options.namespace.clone(),
        identity: format!("{}_{:08x}", options.name, random::number() >> 32),
        duration: options.lease_duration,
        metrics: metrics.clone(),
    };
    let (say, leads) = watch::channel(None);
    let writer = Writer::new(
        client.clone(),
        options.namespace.clone(),
        options.name.clone(),
        metrics.clone(),
    );
    let turns = Loop {
        controller: Controller::new(metrics, options.stale_after, Instant::now()),
        watches: watches(&client),
        writer,
        leads,
        shared,
    };
    tokio::select! {
        () = candidate.run(say) => {}
        () = turns.run() => {}
        () = told_to_stop(terminate, interrupt) => {}
    }
    candidate.release().await;
    Ok(())
}

async fn told_to_stop(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to stop");
}

struct Loop {
    controller: Controller,
    watches: Watches,
    writer: Writer,
    leads: watch::Receiver<Leads>,
    shared: Shared,
}

impl Loop {
    async fn run(mut self) {
        let mut news = self.watches.ready_chunks(BATCH);
        let mut writes = FuturesUnordered::new();
        let mut leads_changed = self.leads.clone();
        loop {
            let now = Instant::now();
            let term = self.leads.borrow().filter(|term| now < term.begins_until);
            let due = self.controller.turn(term.is_some(), now, Timestamp::now());
            self.shared.lock().unready = self.controller.unready();
            self.shared.lock().passed = Some(now);
            while let Some(term) = term
                && writes.len() < AT_ONCE
                && let Some(write) = self.controller.next_write(Instant::now(), Timestamp::now())
            {
                let writer = self.writer.clone();
                writes.push(async move {
                    let result = writer.write(&write, term.ends).await;
                    Done { write, result }
                });
            }
            let due = self
                .controller
                .next_token(writes.len() < AT_ONCE)
                .into_iter()
                .chain(due);
            let wake = due.min().unwrap_or(now + TICK).min(now + TICK);
            tokio::select! {
                Some(batch) = news.next() => {
                    for one in batch {
                        self.controller.take(one, Timestamp::now());
                    }
                }
                Some(done) = writes.next() => self.controller.done(done, Instant::now()),
                _ = leads_changed.changed() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }
}
