//! What should be in force on the node: a function of what is observed and what is asked for.

mod interfaces;
mod maps;
mod place;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use stoq_ebpf::tables;

pub use interfaces::{BelowXdp, Role, Wanted};
pub use place::{Lost, Place, PlannedPod};
pub use transport::PlannedTransport;

use crate::node::{Missing, NodeState, uplinks};
use crate::objects::Objects;

/// What the agent was told at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of the uplinks; empty: they are discovered.
    pub uplinks: Vec<String>,
}

/// Pods' addresses whose packets may not come by the interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detours {
    /// Packets for these were found to go past it.
    pub bypassed: BTreeSet<IpAddr>,
    /// For these the uplinks have to be watched to know.
    pub suspects: BTreeSet<IpAddr>,
}

/// What should be in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Interfaces to have programs on, by index; none if nothing is selected.
    pub interfaces: BTreeMap<u32, Wanted>,
    /// Uplinks that are configured and not there.
    pub missing_uplinks: Vec<String>,
    /// The maps' content.
    pub desired: tables::Desired,
    /// Every transport, in the order of `desired` as far as they take part.
    pub transports: Vec<PlannedTransport>,
}

/// Makes the plan.
pub fn plan(node: &NodeState, objects: &Objects, settings: &Settings, detours: &Detours) -> Plan {
    let place = |pod: &_| place::planned(node, pod, &detours.bypassed);
    let transports = transport::planned(objects, place);
    let uplinks = uplinks(node, &settings.uplinks, &[]);
    Plan {
        interfaces: interfaces::wanted(node, &uplinks.found, &transports, detours),
        missing_uplinks: uplinks.missing,
        desired: maps::desired(node, objects, &transports),
        transports,
    }
}

impl Plan {
    /// Every pod, once for each transport that selects it.
    pub fn pods(&self) -> impl Iterator<Item = &PlannedPod> {
        self.transports.iter().flat_map(|one| &one.pods)
    }

    /// Why pods have no interface, as far as asking the network may help.
    pub fn unresolved(&self) -> impl Iterator<Item = &Missing> {
        self.pods().filter_map(|pod| match &pod.place {
            Place::Nowhere(Lost::Missing(missing)) => Some(missing),
            _ => None,
        })
    }
}
