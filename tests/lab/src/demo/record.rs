//! `demo.json`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::metrics::Reasons;
use super::outcome::Outcome;

#[derive(Debug, Serialize)]
struct Demo {
    kernel: String,
    cpus: usize,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    name: &'static str,
    goodput_bps: f64,
    requests_per_s: f64,
    p99_s: f64,
    offered_pps: f64,
    delivered_pps: f64,
    dropped: Reasons,
    cpu_s: CpuTime,
}

#[derive(Debug, Serialize)]
struct CpuTime {
    node: f64,
    pod: f64,
}

/// Writes the file.
pub(super) fn write(directory: &Path, cpus: usize, outcomes: &[Outcome]) -> Result<()> {
    let demo = Demo {
        kernel: kernel(),
        cpus,
        runs: outcomes.iter().map(Run::of).collect(),
    };
    let path = directory.join("demo.json");
    let text = serde_json::to_string_pretty(&demo)? + "\n";
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// The release of the running kernel.
pub(super) fn kernel() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

impl Run {
    fn of(outcome: &Outcome) -> Self {
        Self {
            name: outcome.scene.name,
            goodput_bps: outcome.goodput_bps,
            requests_per_s: outcome.requests_per_s,
            p99_s: outcome.p99_s,
            offered_pps: outcome.offered_pps(),
            delivered_pps: outcome.delivered_pps,
            dropped: outcome.dropped(),
            cpu_s: CpuTime {
                node: outcome.node_cpu_s,
                pod: outcome.pod_cpu_s,
            },
        }
    }
}
