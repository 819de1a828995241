//! Which interfaces are to have programs, and for what.

use std::collections::{BTreeMap, BTreeSet};

use stoq_ebpf::attach::Mode;
use stoq_ebpf::attach::ladder::ladder;

use super::{Place, PlannedTransport};
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
        /// Endpoints live there: their answers are observed, and it is guarded
        /// by TC where it refuses XDP.
        endpoints: bool,
    },
    /// The host side of a pod's interface.
    Pod,
}

/// By index; none while no transport has a pod here.
pub(super) fn wanted(
    node: &NodeState,
    uplinks: &[Uplink],
    transports: &[PlannedTransport],
) -> BTreeMap<u32, Wanted> {
    let here: Vec<_> = transports.iter().filter(|one| one.is_here()).collect();
    if here.is_empty() {
        return BTreeMap::new();
    }
    let uplink = Role::Uplink {
        modes: xdp_modes(&here),
        endpoints: places(&here).any(Place::needs_uplinks),
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
