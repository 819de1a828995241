//! Where each pod is guarded and observed.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use stoq_crds::{HostPort, ObjectName, Pod};

use crate::node::{HostSide, Missing, NodeState, host_side};

/// A selected pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPod {
    /// Namespace and name.
    pub name: ObjectName,
    /// A fingerprint: of its uid, or, in files without one, its name.
    pub owner: u64,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// Users that it runs as.
    pub users: BTreeSet<u32>,
    /// Ports of the node that lead to it.
    pub host_ports: Vec<HostPort>,
    /// Where it is guarded and observed.
    pub place: Place,
}

/// Where an endpoint is guarded and observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host side of its interface, of this index.
    Pod(u32),
    /// The uplinks: it has the host's network.
    Host,
    /// Packets for some of its addresses go past its interface: those are guarded at the uplinks.
    Bypassed {
        /// Index of the interface.
        interface: u32,
        /// The addresses.
        addresses: BTreeSet<IpAddr>,
    },
    /// Nowhere, and why.
    Nowhere(Lost),
}

/// Why a pod has no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Its status names none.
    #[error("the pod has no address yet")]
    NoAddress,
    /// No interface of the node leads to it.
    #[error(transparent)]
    Missing(Missing),
    /// Nothing is to be in force.
    #[error("the node is paused")]
    Paused,
}

pub(super) fn planned(node: &NodeState, pod: &Pod, bypassed: &BTreeSet<IpAddr>) -> PlannedPod {
    let place = match pod.ips.first() {
        None => Place::Nowhere(Lost::NoAddress),
        Some(ip) => place(host_side(node, *ip), own(pod, bypassed)),
    };
    at(pod, place)
}

pub(super) fn nowhere(pod: &Pod, why: Lost) -> PlannedPod {
    at(pod, Place::Nowhere(why))
}

fn at(pod: &Pod, place: Place) -> PlannedPod {
    PlannedPod {
        name: pod.name.clone(),
        owner: owner(pod),
        ips: pod.ips.clone(),
        users: pod.users.clone(),
        host_ports: pod.host_ports.clone(),
        place,
    }
}

fn place(host_side: HostSide, bypassed: BTreeSet<IpAddr>) -> Place {
    match host_side {
        HostSide::HostNetwork(_) => Place::Host,
        HostSide::Interface(index) if bypassed.is_empty() => Place::Pod(index),
        HostSide::Interface(interface) => Place::Bypassed {
            interface,
            addresses: bypassed,
        },
        HostSide::NotFound(missing) => Place::Nowhere(Lost::Missing(missing)),
    }
}

fn own(pod: &Pod, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let own = pod.ips.iter().copied();
    own.filter(|ip| addresses.contains(ip)).collect()
}

fn owner(pod: &Pod) -> u64 {
    let mut hasher = DefaultHasher::new();
    pod.name.to_string().hash(&mut hasher);
    pod.uid.hash(&mut hasher);
    hasher.finish()
}

impl PlannedPod {
    /// Whether it is guarded and observed anywhere.
    pub fn has_place(&self) -> bool {
        !matches!(self.place, Place::Nowhere(_))
    }
}

impl Place {
    /// Index of the interface of the pod's own.
    pub fn interface(&self) -> Option<u32> {
        match self {
            Self::Pod(index) => Some(*index),
            Self::Bypassed { interface, .. } => Some(*interface),
            Self::Host | Self::Nowhere(_) => None,
        }
    }

    /// Whether some of the pod's endpoints live at the uplinks.
    pub fn needs_uplinks(&self) -> bool {
        matches!(self, Self::Host | Self::Bypassed { .. })
    }

    /// Whether the endpoints of this address do.
    pub fn at_uplink(&self, ip: &IpAddr) -> bool {
        match self {
            Self::Host => true,
            Self::Bypassed { addresses, .. } => addresses.contains(ip),
            Self::Pod(_) | Self::Nowhere(_) => false,
        }
    }
}
