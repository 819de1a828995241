//! What the maps are to hold.

mod front_ends;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stoq_crds::{Filter, FilterMode, Policy, Protocol, Tier, Transport};
use stoq_ebpf::tables::{Desired, DesiredEndpoint, DesiredTransport, Mode, PolicySpec, Rates};

use super::{PlannedPod, PlannedTransport, Seat};
use crate::node::NodeState;
use crate::objects::Objects;

/// `planned` is made of the objects' transports, one by one.
pub(super) fn desired(
    node: &NodeState,
    objects: &Objects,
    planned: &[PlannedTransport],
    seats: &BTreeMap<SocketAddr, Seat>,
) -> Desired {
    let pairs = objects.transports.iter().zip(planned);
    let mut here: Vec<_> = pairs.filter(|(_, planned)| planned.is_here()).collect();
    // Who comes first has what two want: a front end, or the last of the room.
    here.sort_by(|(a, _), (b, _)| a.seniority().cmp(&b.seniority()));
    Desired {
        transports: { here.into_iter() }
            .map(|(spec, planned)| transport(node, spec, planned, seats))
            .collect(),
        nodes: all_nodes(node, objects),
    }
}

fn all_nodes(node: &NodeState, objects: &Objects) -> Vec<IpAddr> {
    let own = node_addresses(node).into_iter();
    let all: BTreeSet<_> = own.chain(objects.node_addresses.iter().copied()).collect();
    all.into_iter().collect()
}

fn transport(
    node: &NodeState,
    spec: &Transport,
    planned: &PlannedTransport,
    seats: &BTreeMap<SocketAddr, Seat>,
) -> DesiredTransport {
    let pods = planned.pods.iter().filter(|pod| pod.has_place());
    DesiredTransport {
        name: spec.name.to_string(),
        policy: policy(&spec.filter, spec.acceleration.readmit_after),
        per_pod_counters: spec.tier == Tier::Pod,
        endpoints: pods.flat_map(|pod| endpoints(pod, spec, seats)).collect(),
        front_ends: front_ends::desired(spec, planned, &node_addresses(node)),
    }
}

fn endpoints(
    pod: &PlannedPod,
    spec: &Transport,
    seats: &BTreeMap<SocketAddr, Seat>,
) -> impl Iterator<Item = DesiredEndpoint> {
    let pod_alone = pod_alone(spec);
    let sockets = pod
        .ips
        .iter()
        .flat_map(|ip| spec.ports.iter().map(move |port| (ip, port)));
    sockets.map(move |(ip, port)| DesiredEndpoint {
        addr: *ip,
        port: port.number.get(),
        quic: port.protocol == Protocol::Quic,
        uplink: pod.place.at_uplink(ip),
        pod_alone,
        steered: { seats.get(&SocketAddr::new(*ip, port.number.get())) }
            .is_some_and(|seat| seat.steered),
        owner: pod.owner,
    })
}

fn pod_alone(spec: &Transport) -> bool {
    spec.acceleration.xdp == Policy::Disabled
}

fn policy(filter: &Filter, readmit_after: Duration) -> PolicySpec {
    let (source, unestablished) = (&filter.limits.per_source, &filter.limits.unestablished);
    PolicySpec {
        mode: mode(filter.mode),
        validate_initial: filter.quic.validate_initial,
        reject_unknown_versions: filter.quic.reject_unknown_versions,
        allow: filter.allow.clone(),
        deny: filter.deny.clone(),
        exempt: source.exempt.clone(),
        source: Rates {
            packets_per_second: source.packets_per_second,
            initials_per_second: source.initials_per_second,
        },
        source_prefix_v4: source.prefix_v4,
        source_prefix_v6: source.prefix_v6,
        unestablished: Rates {
            packets_per_second: unestablished.packets_per_second,
            initials_per_second: unestablished.initials_per_second,
        },
        burst: filter.limits.burst,
        readmit_after,
    }
}

fn mode(mode: FilterMode) -> Mode {
    match mode {
        FilterMode::Enforce => Mode::Enforce,
        FilterMode::Monitor => Mode::Monitor,
        FilterMode::Off => Mode::Off,
    }
}

fn node_addresses(node: &NodeState) -> Vec<IpAddr> {
    let own: BTreeSet<_> = node.addresses.iter().map(|(ip, _)| *ip).collect();
    // Nobody is masqueraded behind a link's own address; relays have such.
    let outside = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback(),
    };
    own.into_iter().filter(outside).collect()
}
