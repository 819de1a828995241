//! From what the agent says of itself to what the cluster is told: the status of a StoqNode. Pure.

mod change;
mod condition;
mod fit;
mod interface;
mod traffic;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stoq_crds::Timestamp;
use stoq_crds::api::{
    GateState, NodeGate, NodeSummary, NodeTransport, StoqNodeStatus, TrafficSnapshot,
};

pub use change::{Change, changes};
pub use fit::LIMIT;
pub use interface::{Hardware, Hardwares};
pub use traffic::{Sample, traffic};

use crate::status::{GateStatus, Status};

/// Traffic by `namespace/name` of its transport.
pub type Traffic = BTreeMap<String, TrafficSnapshot>;

/// Most of them, as the CRD has it.
const GATES: usize = 32;
const INTERFACES: usize = 16;
const TRANSPORTS: usize = 256;
const PROBLEMS: usize = 8;
/// Longest text, characters.
const MESSAGE: usize = 512;

/// What the cluster is told, but for the time of the report: that of `previous`.
///
/// What is as it was in `previous` keeps its times.
#[must_use]
pub fn status(
    status: &Status,
    traffic: &Traffic,
    hardware: &Hardwares,
    previous: Option<&StoqNodeStatus>,
    now: Timestamp,
) -> StoqNodeStatus {
    let now = whole_seconds(now);
    let before = previous.map_or(&[][..], |one| &one.transports);
    let here = status
        .transports
        .iter()
        .filter(|one| transport::concerns(one));
    let transports: Vec<_> = { here.take(TRANSPORTS) }
        .map(|one| transport::told(one, traffic, before, &now))
        .collect();
    let gates: Vec<_> = status
        .gates
        .iter()
        .filter(|gate| gate.interface.is_empty())
        .collect();
    let uplinks = status.interfaces.iter().filter(|one| one.role == "uplink");
    let before = previous.map_or(&[][..], |one| &one.interfaces);
    let told = StoqNodeStatus {
        observed_generation: status.node_generation,
        reported_at: previous.and_then(|one| one.reported_at.clone()),
        agent_version: status.agent_version.clone(),
        kernel: status.kernel.clone(),
        conditions: condition::all(status, &transports, previous, &now),
        summary: Some(summary(status, &transports, &gates)),
        gates: gates.into_iter().take(GATES).map(gate).collect(),
        interfaces: { uplinks.take(INTERFACES) }
            .map(|one| interface::told(one, hardware, before, &now))
            .collect(),
        transports,
        problems: { status.problems.iter().take(PROBLEMS) }
            .map(|words| shortened(words, MESSAGE))
            .collect(),
    };
    fit::fit(told)
}

/// The API server keeps no fractions.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn summary(status: &Status, transports: &[NodeTransport], gates: &[&GateStatus]) -> NodeSummary {
    let ready = transports.iter().filter(|one| one.ready).count();
    let pods = status.transports.iter().flat_map(|one| &one.pods);
    let pods: std::collections::BTreeSet<_> = pods.map(|pod| &pod.name).collect();
    let sockets = gates.iter().find(|gate| gate.name == "af-xdp");
    NodeSummary {
        mode: lowest(transports).to_owned(),
        transports: format!("{ready}/{}", transports.len()),
        pods: i64::try_from(pods.len()).unwrap_or(i64::MAX),
        af_xdp: sockets.map_or("Unknown", |gate| &gate.state).to_owned(),
    }
}

/// The rungs, best first.
const LADDER: [&str; 5] = ["Native", "Generic", "Tcx", "Clsact", "None"];

fn rung(mode: &str) -> usize {
    let known = LADDER.iter().position(|one| *one == mode);
    known.unwrap_or(LADDER.len() - 1)
}

fn lowest(transports: &[NodeTransport]) -> &str {
    let modes = transports.iter().map(|one| one.mode.as_str());
    modes.max_by_key(|mode| rung(mode)).unwrap_or("None")
}

fn gate(gate: &GateStatus) -> NodeGate {
    NodeGate {
        name: gate.name.clone(),
        state: match gate.state.as_str() {
            "Available" => GateState::Available,
            "Unavailable" => GateState::Unavailable,
            _ => GateState::Unknown,
        },
        reason: gate.reason.clone(),
        message: shortened(&gate.message, MESSAGE),
    }
}

/// At most so many characters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}
