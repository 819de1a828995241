//! What came of one run.

use super::metrics::{Reasons, Scrape};
use super::scene::Scene;
use super::snapshot::Snapshot;
use crate::flood::Report;
use crate::quic::LoadReport;

/// Packets the guard dropped.
pub(super) const DROPPED: &str = "stoq_dropped_packets_total";
/// Packets it would have dropped.
pub(super) const WOULD_DROP: &str = "stoq_would_drop_packets_total";

/// One run, measured while the flood lasted.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) scene: Scene,
    /// How long, in seconds.
    pub(super) seconds: f64,
    /// Response bits that reached the clients, per second.
    pub(super) goodput_bps: f64,
    /// Answered requests per second.
    pub(super) requests_per_s: f64,
    /// 99 % of the answered requests were answered within this, in seconds.
    pub(super) p99_s: f64,
    /// What the parts of the flood sent; none without a flood.
    pub(super) floods: Vec<Report>,
    /// Packets lost on the wire, as the uplink's ring was full.
    pub(super) lost: u64,
    /// Packets that reached the pod, clients' included, per second.
    pub(super) delivered_pps: f64,
    /// Packets the pod's socket had no room for.
    pub(super) refused: u64,
    /// CPU time of the agent and of soft interrupts, in seconds.
    pub(super) node_cpu_s: f64,
    /// CPU time of the server, in seconds.
    pub(super) pod_cpu_s: f64,
    /// The agent's metrics once all packets had been counted.
    pub(super) metrics: Scrape,
}

impl Outcome {
    /// Of a run of so many seconds between two snapshots; the third is of when all was still.
    pub(super) fn new(
        scene: Scene,
        seconds: u64,
        [before, after, settled]: [Snapshot; 3],
        floods: Vec<Report>,
        load: &LoadReport,
    ) -> Self {
        let seconds = seconds as f64;
        Self {
            scene,
            seconds,
            goodput_bps: load.measured.bytes as f64 * 8.0 / seconds,
            requests_per_s: load.measured.ok as f64 / seconds,
            p99_s: load.measured.latency_s.p99,
            floods,
            lost: settled.lost - before.lost,
            delivered_pps: (after.delivered - before.delivered) as f64 / seconds,
            refused: after.refused - before.refused,
            node_cpu_s: (after.node - before.node).as_secs_f64(),
            pod_cpu_s: (after.pod - before.pod).as_secs_f64(),
            metrics: settled.metrics,
        }
    }

    /// Packets that the flood offered.
    pub(super) fn offered(&self) -> u64 {
        self.floods.iter().map(|flood| flood.total).sum()
    }

    /// Packets per second that the flood offered.
    pub(super) fn offered_pps(&self) -> f64 {
        let seconds: f64 = self.floods.iter().map(|flood| flood.seconds).sum();
        if seconds == 0.0 {
            return 0.0;
        }
        self.offered() as f64 / seconds
    }

    /// Packets STOQ dropped, by reason, at both hooks together.
    pub(super) fn dropped(&self) -> Reasons {
        self.metrics.reasons(DROPPED, None)
    }
}
