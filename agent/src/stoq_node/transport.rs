//! Transports of the node.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stoq_crds::api::NodeTransport;

use super::{MESSAGE, Traffic, shortened};
use crate::status::TransportStatus;

/// Whether it has anything to do with this node; the others are told by the nodes that they have.
pub(super) fn concerns(transport: &TransportStatus) -> bool {
    !transport.accepted || !transport.pods.is_empty() || transport.front_ends > 0
}

pub(super) fn told(
    status: &TransportStatus,
    traffic: &Traffic,
    before: &[NodeTransport],
    now: &Time,
) -> NodeTransport {
    let mut before = before.iter();
    let before = before.find(|one| one.namespace == status.namespace && one.name == status.name);
    let same = before.filter(|one| one.mode == status.mode && one.reason == status.reason);
    let since = same.and_then(|one| one.since.clone());
    NodeTransport {
        namespace: status.namespace.clone(),
        name: status.name.clone(),
        generation: status.generation,
        pods: i64::try_from(status.pods.len()).unwrap_or(i64::MAX),
        ready: status.ready,
        degraded: status.degraded,
        mode: status.mode.clone(),
        reason: status.reason.clone(),
        message: shortened(&status.message, MESSAGE),
        since: Some(since.unwrap_or_else(|| now.clone())),
        af_xdp: status.af_xdp.steered.into(),
        traffic: traffic
            .get(&format!("{}/{}", status.namespace, status.name))
            .cloned(),
    }
}
