//! What the HTTP server asks of the loop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use stoq_daemon::Process;
use stoq_daemon::http::{self, Page, Sources};
use stoq_ebpf::stats::{Stats, memory};
use stoq_ebpf::sys::program;

use crate::metrics::{self, ProgramRuns, Slot, Snapshot};
use crate::run::Shared;

/// Serves until the process ends. `maps` is the directory of the pinned maps: a scrape reads them
/// itself, so that it never waits for the loop.
pub fn spawn(address: SocketAddr, shared: Shared, maps: PathBuf) {
    let (latest, failing, problems) = (shared.clone(), shared.clone(), shared.clone());
    let sources = Sources {
        pages: pages(move || snapshot(&shared, &maps)),
        last_pass: Arc::new(move || latest.lock().passed),
        failure: Arc::new(move || failing.lock().failure.clone()),
        started: Instant::now(),
    };
    let problem = move |text| problems.lock().http_problem = text;
    tokio::spawn(http::serve(address, sources, problem));
}

fn pages(snapshot: impl Fn() -> Snapshot + Send + Sync + 'static) -> Vec<Page> {
    let snapshot = Arc::new(snapshot);
    let again = snapshot.clone();
    let metrics = Page {
        path: "/metrics",
        media_type: metrics::TEXT_FORMAT,
        text: Arc::new(move || Ok(metrics::render(&snapshot()))),
    };
    let status = Page {
        path: "/status",
        media_type: "application/json",
        text: Arc::new(move || {
            serde_json::to_string_pretty(&again().status).map_err(|error| error.to_string())
        }),
    };
    vec![metrics, status]
}

/// What there is to tell at this moment.
pub(crate) fn snapshot(shared: &Shared, maps: &Path) -> Snapshot {
    let mut snapshot = {
        let latest = shared.lock();
        Snapshot {
            status: latest.status.clone(),
            connections: latest.connections.clone(),
            reconciles: latest.reconciles.clone(),
            af_xdp: latest.af_xdp.clone(),
            process: Process::read(),
            ..Snapshot::default()
        }
    };
    snapshot.programs = runs(&snapshot);
    snapshot.bpf_memory = memory(maps).ok();
    let Ok(stats) = Stats::open(maps) else {
        return snapshot;
    };
    snapshot.unjudged = stats.unjudged().unwrap_or_default();
    let transports = &snapshot.status.transports;
    let pods = transports
        .iter()
        .flat_map(|one| &one.pods)
        .flat_map(|pod| &pod.slots);
    let slots: Vec<u32> = transports
        .iter()
        .flat_map(|one| &one.slots)
        .chain(pods)
        .copied()
        .collect();
    for slot in slots {
        match stats.read(slot) {
            Ok(read) => drop(snapshot.slots.insert(slot, Slot::from(&read))),
            Err(error) => tracing::warn!(slot, "read counters: {error}"),
        }
    }
    snapshot
}

/// The kernel counts runs only where somebody switched that on.
fn runs(snapshot: &Snapshot) -> Vec<ProgramRuns> {
    let attached = snapshot
        .status
        .interfaces
        .iter()
        .flat_map(|one| &one.attached);
    let ids: std::collections::BTreeMap<u32, &str> = attached
        .map(|one| (one.program_id, one.program.as_str()))
        .collect();
    let infos = ids
        .into_iter()
        .filter_map(|(id, name)| Some((name, program::info_by_id(id).ok()?)));
    infos
        .filter(|(_, info)| info.run_count != 0)
        .map(|(name, info)| ProgramRuns {
            program: name.to_owned(),
            time: info.run_time,
            runs: info.run_count,
        })
        .collect()
}
