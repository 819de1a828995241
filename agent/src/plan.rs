//! What should be in force on the node: a function of what is observed and what is asked for.

mod interfaces;
mod maps;
mod place;
mod seats;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use stoq_ebpf::tables;

pub use interfaces::{BelowXdp, Role, Wanted};
pub use place::{Lost, Place, PlannedPod};
pub use seats::Seat;
pub use transport::PlannedTransport;

use crate::broker::Wants;
use crate::node::{Missing, NodeState, uplinks};
use crate::objects::Objects;

/// What the agent was told at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of the uplinks; empty: they are discovered.
    pub uplinks: Vec<String>,
    /// The node's own addresses in its cluster: what they are on is discovered as well.
    pub node_ips: Vec<IpAddr>,
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
    /// Every transport, by name.
    pub transports: Vec<PlannedTransport>,
    /// Endpoints whose pods may ask for an AF_XDP socket.
    pub seats: BTreeMap<SocketAddr, Seat>,
    /// Those that need a relay.
    pub relays: BTreeSet<SocketAddr>,
    /// Whether the node is paused: nothing has a place then.
    pub paused: bool,
    /// Generation of the StoqNode that the plan follows.
    pub node_generation: Option<i64>,
}

/// Makes the plan.
pub fn plan(
    node: &NodeState,
    objects: &Objects,
    settings: &Settings,
    detours: &Detours,
    wants: &Wants,
) -> Plan {
    let place = |pod: &_| match objects.paused {
        true => place::nowhere(pod, Lost::Paused),
        false => place::planned(node, pod, &detours.bypassed),
    };
    let transports = transport::planned(objects, place);
    let uplinks = uplinks(node, &settings.uplinks, &settings.node_ips);
    let seats = seats::planned(objects, &transports, &wants.steered);
    let seated = wants.relays.iter().filter(|one| seats.contains_key(one));
    Plan {
        interfaces: interfaces::wanted(node, &uplinks.found, &transports, detours),
        missing_uplinks: uplinks.missing,
        desired: maps::desired(node, objects, &transports, &seats),
        transports,
        relays: seated.copied().collect(),
        seats,
        paused: objects.paused,
        node_generation: objects.node_generation,
    }
}

impl Plan {
    /// Every pod, once for each transport that selects it.
    pub fn pods(&self) -> impl Iterator<Item = &PlannedPod> {
        self.transports.iter().flat_map(|one| &one.pods)
    }

    /// Endpoints whose packets go to their sockets.
    pub fn steered(&self) -> BTreeSet<SocketAddr> {
        let steered = self.seats.iter().filter(|(_, seat)| seat.steered);
        steered.map(|(endpoint, _)| *endpoint).collect()
    }

    /// The largest MTU of an uplink, bytes; Ethernet's without any.
    pub fn uplink_mtu(&self) -> u32 {
        const ETHERNET: u32 = 1500;
        let uplinks = self.interfaces.values();
        let uplinks = uplinks.filter(|one| matches!(one.role, Role::Uplink { .. }));
        uplinks.map(|one| one.mtu).max().unwrap_or(ETHERNET)
    }

    /// Why pods have no interface, as far as asking the network may help.
    pub fn unresolved(&self) -> impl Iterator<Item = &Missing> {
        self.pods().filter_map(|pod| match &pod.place {
            Place::Nowhere(Lost::Missing(missing)) => Some(missing),
            _ => None,
        })
    }
}
