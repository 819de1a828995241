//! Where packets come in that the node sends on to a transport's pods.

use std::net::IpAddr;

use stoq_crds::{FrontEnd, FrontEndAddress, HostPort, Protocol, TrafficPolicy, Transport};
use stoq_ebpf::tables::DesiredFrontEnd;

use super::pod_alone;
use crate::plan::PlannedTransport;

/// Each address and port once, though a Service's address may be one of the node's.
pub(super) fn desired(
    spec: &Transport,
    planned: &PlannedTransport,
    node: &[IpAddr],
) -> Vec<DesiredFrontEnd> {
    let mut all: Vec<DesiredFrontEnd> = Vec::new();
    let services = { spec.front_ends.iter() }.filter(|one| is_here(one, planned));
    let services = services.copied().chain(host_ports(planned));
    for desired in services.flat_map(|one| expanded(spec, planned, &one, node)) {
        if !all.iter().any(|known| same_place(known, &desired)) {
            all.push(desired);
        }
    }
    all
}

/// A node without pods gets packets only where it may send them on to others.
fn is_here(front_end: &FrontEnd, planned: &PlannedTransport) -> bool {
    front_end.is_masqueraded() || planned.has_pods_here()
}

/// Those of pods that are guarded here: packets come to them as they are.
fn host_ports(planned: &PlannedTransport) -> impl Iterator<Item = FrontEnd> {
    let pods = planned.pods.iter().filter(|pod| pod.has_place());
    pods.flat_map(|pod| &pod.host_ports).map(front_end)
}

fn front_end(host_port: &HostPort) -> FrontEnd {
    let address = host_port.ip.map(FrontEndAddress::One);
    FrontEnd {
        address: address.unwrap_or(FrontEndAddress::Nodes),
        port: host_port.port,
        target_port: host_port.target_port,
        traffic_policy: TrafficPolicy::Local,
    }
}

fn same_place(one: &DesiredFrontEnd, other: &DesiredFrontEnd) -> bool {
    (one.addr, one.port) == (other.addr, other.port)
}

/// Nothing where the spec names the pods' port no longer.
fn expanded(
    spec: &Transport,
    planned: &PlannedTransport,
    front_end: &FrontEnd,
    node: &[IpAddr],
) -> Vec<DesiredFrontEnd> {
    let mut ports = spec.ports.iter();
    let Some(target) = ports.find(|port| port.number == front_end.target_port) else {
        return Vec::new();
    };
    let addresses = match front_end.address {
        FrontEndAddress::Nodes => node.to_vec(),
        FrontEndAddress::One(ip) => vec![ip],
    };
    let desired = |addr| DesiredFrontEnd {
        addr,
        port: front_end.port.get(),
        pod_port: target.number.get(),
        quic: target.protocol == Protocol::Quic,
        pod_alone: pod_alone(spec),
        tracked: front_end.is_masqueraded() || planned.needs_uplinks(),
    };
    addresses.into_iter().map(desired).collect()
}
