//! What should be in force on the node: a function of what is observed and what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use stoq_crds::{
    FilterMode, ObjectName, Pod, Policy, Protocol, Tier, Transport, resolve_conflicts,
};
use stoq_ebpf::attach::Mode;
use stoq_ebpf::attach::ladder::{self, XdpPolicy, ladder};
use stoq_ebpf::tables;

use crate::node::{HostSide, Missing, NodeState, host_side, uplinks};
use crate::objects::Objects;

/// What the agent was told at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of the uplinks; empty: they are discovered.
    pub uplinks: Vec<String>,
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
    /// Pods whose interface might be found by asking the network.
    pub unresolved: Vec<Missing>,
}

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

/// A transport and what the plan made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTransport {
    /// Namespace and name.
    pub name: ObjectName,
    /// Why it takes no part, if so.
    pub conflict: Option<String>,
    /// How much XDP it wants.
    pub xdp: XdpPolicy,
    /// Fineness of its metrics.
    pub tier: Tier,
    /// Its pods.
    pub pods: Vec<PlannedPod>,
}

/// A selected pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPod {
    /// Namespace and name.
    pub name: ObjectName,
    /// Addresses.
    pub ips: Vec<IpAddr>,
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
    Nowhere(String),
}

impl Place {
    fn at_uplink(&self, ip: &IpAddr) -> bool {
        match self {
            Self::Host => true,
            Self::Bypassed { addresses, .. } => addresses.contains(ip),
            Self::Pod(_) | Self::Nowhere(_) => false,
        }
    }
}

/// Makes the plan. `bypassed` are the addresses of pods whose packets were
/// found to go past the host side of their interface.
pub fn plan(
    node: &NodeState,
    objects: &Objects,
    settings: &Settings,
    bypassed: &BTreeSet<IpAddr>,
) -> Plan {
    let mut plan = Plan::default();
    let conflicts: BTreeMap<_, _> = resolve_conflicts(&objects.transports, &objects.pods)
        .into_iter()
        .map(|conflict| (conflict.loser.clone(), conflict.to_string()))
        .collect();
    for transport in &objects.transports {
        let mut planned = PlannedTransport {
            name: transport.name.clone(),
            conflict: conflicts.get(&transport.name).cloned(),
            xdp: xdp_policy(transport),
            tier: transport.tier,
            pods: Vec::new(),
        };
        if planned.conflict.is_none() {
            let selected = objects.pods.iter().filter(|pod| transport.selects(pod));
            planned.pods = selected
                .map(|pod| planned_pod(node, pod, bypassed, &mut plan.unresolved))
                .collect();
            plan.desired
                .transports
                .extend(desired(transport, &planned, objects));
        }
        plan.transports.push(planned);
    }
    plan.desired.nodes = node_addresses(node);
    interfaces(node, settings, &mut plan);
    plan
}

fn xdp_policy(transport: &Transport) -> XdpPolicy {
    let acceleration = &transport.acceleration;
    let policy = match acceleration.xdp {
        Policy::Require => ladder::Policy::Require,
        Policy::Prefer => ladder::Policy::Prefer,
        Policy::Disabled => ladder::Policy::Disabled,
    };
    let modes = acceleration.xdp_modes;
    XdpPolicy {
        policy,
        native: modes.native,
        generic: modes.generic,
    }
}

fn planned_pod(
    node: &NodeState,
    pod: &Pod,
    bypassed: &BTreeSet<IpAddr>,
    unresolved: &mut Vec<Missing>,
) -> PlannedPod {
    let place = match pod.ips.first() {
        None => Place::Nowhere("the pod has no address yet".into()),
        Some(ip) => place(node, *ip, own(pod, bypassed), unresolved),
    };
    PlannedPod {
        name: pod.name.clone(),
        ips: pod.ips.clone(),
        place,
    }
}

fn own(pod: &Pod, bypassed: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let own = pod.ips.iter().copied();
    own.filter(|ip| bypassed.contains(ip)).collect()
}

fn place(
    node: &NodeState,
    ip: IpAddr,
    addresses: BTreeSet<IpAddr>,
    unresolved: &mut Vec<Missing>,
) -> Place {
    match host_side(node, ip) {
        HostSide::HostNetwork(_) => Place::Host,
        HostSide::Interface(index) if addresses.is_empty() => Place::Pod(index),
        HostSide::Interface(interface) => Place::Bypassed {
            interface,
            addresses,
        },
        HostSide::NotFound(missing) => {
            let why = missing.to_string();
            unresolved.push(missing);
            Place::Nowhere(why)
        }
    }
}

/// The transport's part of the maps; none without a pod that has a place.
fn desired(
    transport: &Transport,
    planned: &PlannedTransport,
    objects: &Objects,
) -> Option<tables::DesiredTransport> {
    let mut endpoints = Vec::new();
    for pod in &planned.pods {
        if matches!(pod.place, Place::Nowhere(_)) {
            continue;
        }
        let owner = owner(pod, objects);
        for (ip, port) in pod
            .ips
            .iter()
            .flat_map(|ip| transport.ports.iter().map(move |p| (ip, p)))
        {
            endpoints.push(tables::DesiredEndpoint {
                addr: *ip,
                port: port.number.get(),
                quic: port.protocol == Protocol::Quic,
                uplink: pod.place.at_uplink(ip),
                owner,
            });
        }
    }
    (!endpoints.is_empty()).then(|| tables::DesiredTransport {
        name: transport.name.to_string(),
        policy: policy(transport),
        per_pod_counters: transport.tier == Tier::Pod,
        endpoints,
    })
}

/// A fingerprint of the pod: of its uid, or, in files without one, its name.
fn owner(planned: &PlannedPod, objects: &Objects) -> u64 {
    let pod = objects.pods.iter().find(|pod| pod.name == planned.name);
    let mut hasher = DefaultHasher::new();
    planned.name.to_string().hash(&mut hasher);
    pod.and_then(|pod| pod.uid.as_ref()).hash(&mut hasher);
    hasher.finish()
}

fn policy(transport: &Transport) -> tables::PolicySpec {
    let filter = &transport.filter;
    let limits = &filter.limits;
    tables::PolicySpec {
        mode: match filter.mode {
            FilterMode::Enforce => tables::Mode::Enforce,
            FilterMode::Monitor => tables::Mode::Monitor,
            FilterMode::Off => tables::Mode::Off,
        },
        validate_initial: filter.quic.validate_initial,
        reject_unknown_versions: filter.quic.reject_unknown_versions,
        allow: filter.allow.clone(),
        deny: filter.deny.clone(),
        exempt: limits.per_source.exempt.clone(),
        source: tables::Rates {
            packets_per_second: limits.per_source.packets_per_second,
            initials_per_second: limits.per_source.initials_per_second,
        },
        source_prefix_v4: limits.per_source.prefix_v4,
        source_prefix_v6: limits.per_source.prefix_v6,
        unestablished: tables::Rates {
            packets_per_second: limits.unestablished.packets_per_second,
            initials_per_second: limits.unestablished.initials_per_second,
        },
        burst: limits.burst,
    }
}

fn node_addresses(node: &NodeState) -> Vec<IpAddr> {
    let own: BTreeSet<_> = node.addresses.iter().map(|(ip, _)| *ip).collect();
    own.into_iter().filter(|ip| !ip.is_loopback()).collect()
}

fn interfaces(node: &NodeState, settings: &Settings, plan: &mut Plan) {
    let found = uplinks(node, &settings.uplinks, &[]);
    plan.missing_uplinks = found.missing;
    if plan.desired.transports.is_empty() {
        return;
    }
    for uplink in found.found {
        let role = Role::Uplink {
            modes: xdp_modes(plan),
            endpoints: lives_at_uplink(plan),
        };
        add(node, uplink.index, role, plan);
    }
    let places = plan
        .transports
        .iter()
        .flat_map(|one| &one.pods)
        .map(|pod| &pod.place);
    let pods: BTreeSet<u32> = places
        .filter_map(|place| match place {
            Place::Pod(index) => Some(*index),
            Place::Bypassed { interface, .. } => Some(*interface),
            Place::Host | Place::Nowhere(_) => None,
        })
        .collect();
    for index in pods {
        add(node, index, Role::Pod, plan);
    }
}

fn add(node: &NodeState, index: u32, role: Role, plan: &mut Plan) {
    if let Some(interface) = node.interfaces.get(&index) {
        let (name, mtu, xdp) = (interface.name.clone(), interface.mtu, interface.xdp.clone());
        // An uplink that is also some pod's way out stays an uplink.
        plan.interfaces.entry(index).or_insert(Wanted {
            name,
            mtu,
            xdp,
            role,
        });
    }
}

/// The XDP modes that any transport with endpoints here would take.
fn xdp_modes(plan: &Plan) -> Vec<Mode> {
    let here = |one: &&PlannedTransport| {
        one.conflict.is_none()
            && one
                .pods
                .iter()
                .any(|pod| !matches!(pod.place, Place::Nowhere(_)))
    };
    let wanted: BTreeSet<Mode> = plan
        .transports
        .iter()
        .filter(here)
        .flat_map(|one| ladder(one.xdp))
        .copied()
        .filter(|mode| matches!(mode, Mode::Native | Mode::Generic))
        .collect();
    wanted.into_iter().collect()
}

fn lives_at_uplink(plan: &Plan) -> bool {
    let mut endpoints = plan
        .desired
        .transports
        .iter()
        .flat_map(|one| &one.endpoints);
    endpoints.any(|endpoint| endpoint.uplink)
}
