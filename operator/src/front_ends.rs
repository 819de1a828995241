//! Which ways into the cluster lead to a transport's pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stoq_crds::api::{FrontEnd, FrontEndType};
use stoq_crds::{TrafficPolicy, Transport};

use crate::service::{Service, ServiceUdpPort, Slice};

/// Most of them on one transport, as the CRD has it.
const MOST: usize = 64;

/// The ways.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct FrontEnds {
    /// In a stable order, at most 64.
    pub(crate) list: Vec<FrontEnd>,
    /// How many there are beyond.
    pub(crate) left_out: usize,
    /// Whether every node sends such packets on.
    pub(crate) every_node: bool,
    /// Nodes with ready pods of front ends that only those nodes send on.
    pub(crate) local_nodes: BTreeSet<Arc<str>>,
}

/// Finds them among the Services and slices of the transport's namespace; `selected` says whether
/// a pod of this name is the transport's.
pub(crate) fn find<'a>(
    transport: &Transport,
    services: &BTreeMap<&str, &Service>,
    slices: impl Iterator<Item = &'a Slice>,
    selected: impl Fn(&str) -> bool,
) -> FrontEnds {
    let mut found = FrontEnds::default();
    let mut all = BTreeMap::new();
    for slice in slices {
        let Some(service) = services.get(slice.service.as_str()) else {
            continue;
        };
        let mut led = slice
            .endpoints
            .iter()
            .filter(|one| selected(&one.pod))
            .peekable();
        let ways = ways(transport, service, slice);
        if led.peek().is_none() || ways.is_empty() {
            continue;
        }
        all.extend(ways.into_iter().map(|way| (order(&way), way)));
        match service.policy {
            TrafficPolicy::Cluster => found.every_node = true,
            TrafficPolicy::Local => {
                let ready = led.filter(|one| one.ready);
                found
                    .local_nodes
                    .extend(ready.filter_map(|one| one.node.clone()));
            }
        }
    }
    found.left_out = all.len().saturating_sub(MOST);
    found.list = all.into_values().take(MOST).collect();
    found
}

/// The ways through the slice's ports that the transport names.
fn ways(transport: &Transport, service: &Service, slice: &Slice) -> Vec<FrontEnd> {
    let is_ours = |port: u16| transport.ports.iter().any(|one| one.number.get() == port);
    let ports = slice.ports.iter().filter(|(_, port)| is_ours(**port));
    let both = ports.filter_map(|(name, target)| Some((service.ports.get(name)?, *target)));
    both.flat_map(|(port, target)| ways_of_port(service, *port, target))
        .collect()
}

fn ways_of_port(
    service: &Service,
    port: ServiceUdpPort,
    target: u16,
) -> impl Iterator<Item = FrontEnd> {
    let way = move |kind, ip, port: u16| FrontEnd {
        kind,
        ip,
        port: port.into(),
        target_port: target.into(),
        traffic_policy: service.policy,
    };
    let node_port = port
        .node_port
        .map(|port| way(FrontEndType::NodePort, None, port));
    let addresses = service.addresses.iter();
    let addresses =
        addresses.map(move |ip| way(FrontEndType::Address, Some(ip.to_string()), port.port));
    node_port.into_iter().chain(addresses)
}

/// Node ports first; what is the same but for the policy or the pods' port is one.
fn order(way: &FrontEnd) -> (bool, Option<String>, i64) {
    (way.kind == FrontEndType::Address, way.ip.clone(), way.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::service::Endpoint;

    fn slice(service: &str, port: u16, pods: &[(&str, &str, bool)]) -> Slice {
        let endpoint = |(pod, node, ready): &(&str, &str, bool)| Endpoint {
            pod: (*pod).to_owned(),
            node: Some((*node).into()),
            ready: *ready,
        };
        Slice {
            service: service.to_owned(),
            ports: BTreeMap::from([("q".to_owned(), port)]),
            endpoints: pods.iter().map(endpoint).collect(),
        }
    }

    fn service(policy: TrafficPolicy, node_port: Option<u16>, addresses: &[&str]) -> Service {
        Service {
            ports: BTreeMap::from([(
                "q".to_owned(),
                ServiceUdpPort {
                    port: 443,
                    node_port,
                },
            )]),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            policy,
        }
    }

    fn find_one(service: &Service, slice: &Slice) -> FrontEnds {
        let transport = fixture::transport("d/edge", 4433);
        let services = BTreeMap::from([("edge", service)]);
        let selected = |pod: &str| pod.starts_with("edge-");
        find(&transport, &services, std::iter::once(slice), selected)
    }

    #[test]
    fn a_node_port_and_addresses_lead_to_the_pods() {
        let service = service(TrafficPolicy::Cluster, Some(30443), &["192.0.2.1"]);
        let found = find_one(&service, &slice("edge", 4433, &[("edge-0", "n1", true)]));
        let shown: Vec<_> = { found.list.iter() }
            .map(|one| (one.kind, one.ip.as_deref(), one.port, one.target_port))
            .collect();
        assert_eq!(
            shown,
            [
                (FrontEndType::NodePort, None, 30443, 4433),
                (FrontEndType::Address, Some("192.0.2.1"), 443, 4433),
            ]
        );
        assert!(found.every_node && found.local_nodes.is_empty());
    }

    #[test]
    fn local_means_the_nodes_with_ready_pods() {
        let service = service(TrafficPolicy::Local, Some(30443), &[]);
        let pods = [
            ("edge-0", "n1", true),
            ("edge-1", "n2", false),
            ("web-0", "n3", true),
        ];
        let found = find_one(&service, &slice("edge", 4433, &pods));
        assert!(!found.every_node);
        assert_eq!(found.local_nodes, BTreeSet::from(["n1".into()]));
    }

    #[test]
    fn what_leads_elsewhere_is_none_of_ours() {
        let service = service(TrafficPolicy::Cluster, Some(30443), &[]);
        for slice in [
            slice("edge", 4434, &[("edge-0", "n1", true)]),
            slice("edge", 4433, &[("web-0", "n1", true)]),
            slice("web", 4433, &[("edge-0", "n1", true)]),
        ] {
            assert_eq!(find_one(&service, &slice), FrontEnds::default());
        }
    }

    #[test]
    fn those_beyond_the_most_are_counted() {
        let addresses: Vec<_> = (0..70).map(|n| format!("192.0.2.{n}")).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let service = service(TrafficPolicy::Cluster, Some(30443), &addresses);
        let found = find_one(&service, &slice("edge", 4433, &[("edge-0", "n1", true)]));
        assert_eq!((found.list.len(), found.left_out), (64, 7));
        assert_eq!(found.list[0].kind, FrontEndType::NodePort);
    }
}
