//! Which interfaces are to have programs, and for what.

use std::collections::{BTreeMap, BTreeSet};

use stoq_ebpf::attach::Mode;
use stoq_ebpf::attach::ladder::ladder;

use super::{Detours, Place, PlannedTransport};
use crate::node::{Interface, NodeState, Uplink};

/// Programs wanted on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub mtu: u32,
    /// XDP programs on it, ours included.
    pub xdp: BTreeSet<u32>,
    /// What for.
    pub role: Role,
}

/// What an interface is to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It carries outside traffic.
    Uplink {
        /// XDP modes to try, best first.
        modes: Vec<Mode>,
        /// What TC has to do there.
        below: BelowXdp,
    },
    /// The host side of a pod's interface.
    Pod,
    /// The end of a relay that packets come out of.
    Relay,
}

/// What TC does at an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BelowXdp {
    /// Nothing: pods are guarded at their interfaces.
    Nothing,
    /// Where XDP is refused, sees what comes in for pods that may be bypassed.
    Watch,
    /// Endpoints live there, or flows are tracked there: observes their answers, and guards them where XDP is refused.
    Endpoints,
}

/// By index; none while no transport has a pod here.
pub(super) fn wanted(
    node: &NodeState,
    uplinks: &[Uplink],
    transports: &[PlannedTransport],
    detours: &Detours,
) -> BTreeMap<u32, Wanted> {
    let here: Vec<_> = transports.iter().filter(|one| one.is_here()).collect();
    if here.is_empty() {
        return BTreeMap::new();
    }
    let uplink = Role::Uplink {
        modes: xdp_modes(&here),
        below: below_xdp(&here, detours),
    };
    let pods = places(&here).filter_map(Place::interface);
    // An uplink that is also some pod's way out stays an uplink.
    let roles: BTreeMap<u32, Role> = { pods.map(|index| (index, Role::Pod)) }
        .chain(uplinks.iter().map(|one| (one.index, uplink.clone())))
        .collect();
    let there = roles
        .into_iter()
        .filter_map(|(index, role)| Some((index, on(node.interfaces.get(&index)?, role))));
    there.collect()
}

fn below_xdp(here: &[&PlannedTransport], detours: &Detours) -> BelowXdp {
    if here
        .iter()
        .any(|one| one.masqueraded || one.needs_uplinks())
    {
        BelowXdp::Endpoints
    } else if detours.suspects.is_empty() {
        BelowXdp::Nothing
    } else {
        BelowXdp::Watch
    }
}

fn on(interface: &Interface, role: Role) -> Wanted {
    Wanted {
        name: interface.name.clone(),
        mtu: interface.mtu,
        xdp: interface.xdp.clone(),
        role,
    }
}

fn places<'a>(here: &[&'a PlannedTransport]) -> impl Iterator<Item = &'a Place> {
    here.iter().flat_map(|one| &one.pods).map(|pod| &pod.place)
}

/// Those that any of the transports would take.
fn xdp_modes(here: &[&PlannedTransport]) -> Vec<Mode> {
    let rungs = here.iter().flat_map(|one| ladder(one.xdp)).copied();
    let xdp = rungs.filter(|mode| matches!(mode, Mode::Native | Mode::Generic));
    xdp.collect::<BTreeSet<_>>().into_iter().collect()
}
