//! Which interfaces carry outside traffic.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::state::{Interface, Kind, NodeState};

/// An interface that carries outside traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
}

/// The uplinks there are, and those still awaited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uplinks {
    /// Present, by index.
    pub found: Vec<Uplink>,
    /// Configured names that no interface has now.
    pub missing: Vec<String>,
}

/// Finds the uplinks: the configured names if there are any, else the interfaces of the default
/// routes and of the node's `internal_ips`. Relays and loopback are never among them.
pub fn uplinks(state: &NodeState, configured: &[String], internal_ips: &[IpAddr]) -> Uplinks {
    if configured.is_empty() {
        return Uplinks {
            found: discovered(state, internal_ips),
            missing: Vec::new(),
        };
    }
    named(state, configured)
}

fn named(state: &NodeState, configured: &[String]) -> Uplinks {
    let mut found = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for name in configured {
        match state.interface_named(name).filter(|one| eligible(one)) {
            Some(interface) => drop(found.insert(interface.index, uplink(interface))),
            None => drop(missing.insert(name.clone())),
        }
    }
    Uplinks {
        found: found.into_values().collect(),
        missing: missing.into_iter().collect(),
    }
}

fn discovered(state: &NodeState, internal_ips: &[IpAddr]) -> Vec<Uplink> {
    let holds_internal_ip = |index: u32| {
        internal_ips
            .iter()
            .any(|ip| state.addresses.contains(&(*ip, index)))
    };
    let outside = |one: &&Interface| {
        state.carries_default_route(one.index)
            // A dummy may hold the node's address, but no wire ends there.
            || (holds_internal_ip(one.index) && one.kind != Kind::Other("dummy".into()))
    };
    let each = state.interfaces.values().filter(|one| eligible(one));
    let found: Vec<_> = each.filter(outside).collect();
    // What comes by a VLAN has come by its parent.
    let is_found = |index| found.iter().any(|one| one.index == index);
    let through_another =
        |one: &Interface| one.kind == Kind::Other("vlan".into()) && one.link.is_some_and(is_found);
    let each = { found.iter() }.filter(|one| !through_another(one));
    each.map(|one| uplink(one)).collect()
}

fn eligible(interface: &Interface) -> bool {
    !interface.is_relay() && interface.kind != Kind::Loopback
}

fn uplink(interface: &Interface) -> Uplink {
    Uplink {
        index: interface.index,
        name: interface.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixture::{address, device, node};

    fn two_nics_and_a_pod() -> NodeState {
        let relay = Interface {
            alias: Some("stoq".into()),
            ..device(5, "stoq1b", Kind::Veth)
        };
        let devices = [
            device(1, "lo", Kind::Loopback),
            device(2, "eth0", Kind::Hardware),
            device(3, "eth1", Kind::Hardware),
            device(4, "cali1", Kind::Veth),
            relay,
            device(6, "dummy0", Kind::Other("dummy".into())),
        ];
        node(devices)
            .with_gateway("0.0.0.0/0", &[2])
            .with_address("192.0.2.1", 3)
    }

    fn names(uplinks: &Uplinks) -> Vec<&str> {
        uplinks.found.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn by_default_they_carry_a_default_route_or_an_internal_ip() {
        let state = two_nics_and_a_pod();
        assert_eq!(names(&uplinks(&state, &[], &[])), ["eth0"]);
        assert_eq!(
            names(&uplinks(&state, &[], &[address("192.0.2.1")])),
            ["eth0", "eth1"]
        );
    }

    #[test]
    fn every_hop_of_a_multipath_default_route_counts_and_so_does_ipv6() {
        let state = two_nics_and_a_pod().with_gateway("0.0.0.0/0", &[2, 3]);
        assert_eq!(names(&uplinks(&state, &[], &[])), ["eth0", "eth1"]);
        let state = two_nics_and_a_pod().with_gateway("::/0", &[3]);
        assert_eq!(names(&uplinks(&state, &[], &[])), ["eth0", "eth1"]);
    }

    #[test]
    fn an_internal_ip_on_a_device_without_a_wire_is_no_uplink() {
        let ips = [
            address("198.51.100.1"),
            address("198.51.100.2"),
            address("198.51.100.3"),
        ];
        let state = two_nics_and_a_pod()
            .with_address("198.51.100.1", 1)
            .with_address("198.51.100.2", 6)
            .with_address("198.51.100.3", 5);
        assert_eq!(names(&uplinks(&state, &[], &ips)), ["eth0"]);
    }

    #[test]
    fn a_vlan_is_no_uplink_beside_its_parent() {
        let vlan = |parent| Interface {
            link: Some(parent),
            ..device(7, "eth0.10", Kind::Other("vlan".into()))
        };
        for (parent, expected) in [(2, &["eth0"][..]), (3, &["eth0", "eth0.10"])] {
            let mut state = two_nics_and_a_pod().with_address("198.51.100.1", 7);
            state.interfaces.insert(7, vlan(parent));
            let found = uplinks(&state, &[], &[address("198.51.100.1")]);
            assert_eq!(names(&found), expected, "{parent}");
        }
    }

    #[test]
    fn configured_names_win_and_absent_ones_are_missing_until_they_appear() {
        let configured = ["eth1".to_owned(), "wire".to_owned(), "eth1".to_owned()];
        let mut state = two_nics_and_a_pod();
        let before = uplinks(&state, &configured, &[]);
        assert_eq!(
            (names(&before), before.missing.as_slice()),
            (vec!["eth1"], &["wire".to_owned()][..])
        );
        state.interfaces.insert(7, device(7, "wire", Kind::Veth));
        let after = uplinks(&state, &configured, &[]);
        assert_eq!(
            (names(&after), after.missing.len()),
            (vec!["eth1", "wire"], 0)
        );
    }

    #[test]
    fn a_relay_is_no_uplink_even_if_configured() {
        let named = uplinks(&two_nics_and_a_pod(), &["stoq1b".to_owned()], &[]);
        assert_eq!(
            (named.found.len(), named.missing),
            (0, vec!["stoq1b".to_owned()])
        );
    }
}
