//! Uplinks.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stoq_crds::api::{NodeInterface, NodeProgram};

use super::{MESSAGE, shortened};
use crate::status::{AttachedStatus, InterfaceStatus};

/// What is behind an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Its driver; empty if it has none.
    pub driver: String,
    /// Receive queues, if known.
    pub queues: Option<i64>,
}

/// That of the uplinks, by name.
pub type Hardwares = BTreeMap<String, Hardware>;

pub(super) fn told(
    status: &InterfaceStatus,
    hardware: &Hardwares,
    before: &[NodeInterface],
    now: &Time,
) -> NodeInterface {
    let before = before.iter().find(|one| one.name == status.name);
    let before = before.map_or(&[][..], |one| &one.attached);
    let hardware = hardware.get(&status.name).cloned().unwrap_or_default();
    let attached = status.attached.iter();
    NodeInterface {
        name: status.name.clone(),
        driver: hardware.driver,
        mtu: status.mtu.into(),
        queues: hardware.queues,
        attached: attached.map(|one| program(one, before, now)).collect(),
        reason: status.reason.clone(),
        message: shortened(&status.message, MESSAGE),
    }
}

fn program(status: &AttachedStatus, before: &[NodeProgram], now: &Time) -> NodeProgram {
    let program_id = status.program_id.into();
    let same = before.iter().find(|one| {
        (one.program_id, &one.hook, &one.mode) == (program_id, &status.hook, &status.mode)
    });
    let since = same.and_then(|one| one.since.clone());
    NodeProgram {
        hook: status.hook.clone(),
        mode: status.mode.clone(),
        program_id,
        since: Some(since.unwrap_or_else(|| now.clone())),
    }
}
