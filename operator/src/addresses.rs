//! Addresses of the cluster's nodes: packets that a node masqueraded come from one of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;

/// An API server takes objects of at most 1 MiB.
const MOST_BYTES: usize = 1_000_000;

/// A node's addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct NodeAddresses {
    /// As its status gives them.
    own: BTreeSet<IpAddr>,
    /// What its data plane may masquerade by: the first two of its pods' range, where tunnels
    /// (flannel's .0) and bridges (.1) have theirs.
    of_range: BTreeSet<IpAddr>,
}

impl NodeAddresses {
    pub(crate) fn read(node: &Node) -> Self {
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_ref());
        let kinds = ["InternalIP", "ExternalIP"];
        let own = addresses.into_iter().flatten();
        let own = own.filter(|one| kinds.contains(&one.type_.as_str()));
        let spec = node.spec.as_ref();
        let ranges = spec
            .into_iter()
            .flat_map(|spec| { spec.pod_cidrs.iter().flatten() }.chain(&spec.pod_cidr));
        Self {
            own: own.filter_map(|one| one.address.parse().ok()).collect(),
            of_range: ranges.flat_map(|range| first_two(range)).collect(),
        }
    }
}

fn first_two(range: &str) -> Vec<IpAddr> {
    let Ok(range) = range.parse::<IpNet>() else {
        return Vec::new();
    };
    let second = match range.network() {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|ip| IpAddr::V4(ip.into())),
        IpAddr::V6(ip) => u128::from(ip)
            .checked_add(1)
            .map(|ip| IpAddr::V6(ip.into())),
    };
    let inside = second.filter(|ip| range.contains(ip));
    std::iter::once(range.network()).chain(inside).collect()
}

/// The text of the ConfigMap ([`stoq_crds::node_addresses`]). Where it would be too long only the nodes' own addresses are in it.
pub(crate) fn text<'a>(nodes: impl Iterator<Item = &'a NodeAddresses> + Clone) -> String {
    let own = nodes.clone().flat_map(|node| &node.own);
    let all: BTreeSet<_> = nodes
        .flat_map(|node| node.own.iter().chain(&node.of_range))
        .collect();
    let text = lines(all.into_iter());
    if text.len() <= MOST_BYTES {
        return text;
    }
    lines(own.collect::<BTreeSet<_>>().into_iter())
}

fn lines<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    addresses.map(|ip| format!("{ip}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(yaml: &str) -> NodeAddresses {
        NodeAddresses::read(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn addresses_of_both_families_are_sorted_lines() {
        let nodes = [
            node(
                "status: {addresses: [{type: InternalIP, address: 10.0.0.2}, \
                 {type: Hostname, address: n2}, {type: ExternalIP, address: '2001:db8::2'}]}",
            ),
            node(
                "spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, 'fd00:1::/64']}\n\
                 status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}",
            ),
        ];
        assert_eq!(
            text(nodes.iter()),
            "10.0.0.1\n10.0.0.2\n10.244.1.0\n10.244.1.1\n2001:db8::2\nfd00:1::\nfd00:1::1\n"
        );
    }

    #[test]
    fn nothing_is_derived_from_what_is_no_range() {
        assert_eq!(
            first_two("10.0.0.7/32"),
            ["10.0.0.7".parse::<IpAddr>().unwrap()]
        );
        assert!(first_two("pods").is_empty());
    }

    #[test]
    fn a_cluster_too_large_keeps_the_nodes_own() {
        let many = (0..60_000_u32).map(|n| NodeAddresses {
            own: [IpAddr::V4((0x0a00_0000 + n).into())].into(),
            of_range: [IpAddr::V4((0xac10_0000 + n).into())].into(),
        });
        let many: Vec<_> = many.collect();
        let text = text(many.iter());
        assert_eq!(text.lines().count(), many.len());
        assert!(text.starts_with("10.0.0.0\n"));
    }
}
