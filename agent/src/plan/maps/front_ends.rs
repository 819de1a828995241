//! Where packets come in that the node sends on to a transport's pods.

use std::net::IpAddr;

use stoq_crds::{FrontEnd, FrontEndAddress, Protocol, Transport};
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
    for desired in { spec.front_ends.iter() }.flat_map(|one| expanded(spec, planned, one, node)) {
        if !all.iter().any(|known| same_place(known, &desired)) {
            all.push(desired);
        }
    }
    all
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
