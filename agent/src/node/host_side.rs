//! Which interface of the host leads to a pod.

use std::net::IpAddr;

use ipnet::IpNet;

use super::state::{Interface, Kind, Mac, NodeState, Route};

/// Where a pod's packets pass on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostSide {
    /// On this interface, the host's end of the pod's own.
    Interface(u32),
    /// Nowhere of its own: the pod has this address of the machine (hostNetwork).
    HostNetwork(IpAddr),
    /// Not known, and why; asking the network may help.
    NotFound(Missing),
}

/// Why a pod's interface is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No route covers the address.
    #[error("no route leads to {pod}")]
    NoRoute {
        /// Address of the pod.
        pod: IpAddr,
    },
    /// The best route drops: a CNI covers its range so until the pod's own route exists.
    #[error("the route to {pod}, {prefix}, rejects")]
    Rejected {
        /// Address of the pod.
        pod: IpAddr,
        /// Destination of the route.
        prefix: IpNet,
    },
    /// The best route leaves the node, or enters a data plane that the routing table does not show.
    #[error("the route to {pod}, {prefix}, leads through a gateway or an uplink")]
    Elsewhere {
        /// Address of the pod.
        pod: IpAddr,
        /// Destination of the route.
        prefix: IpNet,
    },
    /// The bridge's neighbour table lacks the pod; resolution may be asked for.
    #[error("{pod} is not resolved on bridge {name}")]
    Unresolved {
        /// Address of the pod.
        pod: IpAddr,
        /// Index of the bridge.
        bridge: u32,
        /// Name of the bridge.
        name: String,
    },
    /// The bridge has forgotten behind which port the MAC is; resolution may be asked for.
    #[error("bridge {name} knows no port for {mac} of {pod}")]
    PortUnknown {
        /// Address of the pod.
        pod: IpAddr,
        /// Index of the bridge.
        bridge: u32,
        /// Name of the bridge.
        name: String,
        /// The pod's MAC.
        mac: Mac,
    },
    /// The device is not one end of a pair whose other end is in another namespace.
    #[error("{pod} is reached through {name} ({kind}), which is no pod's interface")]
    NotAPod {
        /// Address of the pod.
        pod: IpAddr,
        /// Name of the device.
        name: String,
        /// Kind of the device.
        kind: Kind,
    },
}

impl Missing {
    /// The (bridge, address) whose resolution could help.
    pub fn resolvable(&self) -> Option<(u32, IpAddr)> {
        match self {
            Self::Unresolved { pod, bridge, .. } | Self::PortUnknown { pod, bridge, .. } => {
                Some((*bridge, *pod))
            }
            _ => None,
        }
    }
}

/// Finds the host's side of the interface of the pod with address `pod`: by the longest matching
/// route, and behind a bridge by neighbour (address to MAC) and FDB (MAC to port).
pub fn host_side(state: &NodeState, pod: IpAddr) -> HostSide {
    if state.is_own(pod) {
        return HostSide::HostNetwork(pod);
    }
    match search(state, pod) {
        Ok(index) => HostSide::Interface(index),
        Err(missing) => HostSide::NotFound(missing),
    }
}

fn search(state: &NodeState, pod: IpAddr) -> Result<u32, Missing> {
    let route = best_route(state, pod).ok_or(Missing::NoRoute { pod })?;
    let prefix = route.prefix;
    let device = match route.devices.as_slice() {
        [] => return Err(Missing::Rejected { pod, prefix }),
        [one] if !route.gateway => state.interfaces.get(one),
        _ => return Err(Missing::Elsewhere { pod, prefix }),
    };
    // A device that the route outlived: its removal is on the way.
    let device = device.ok_or(Missing::NoRoute { pod })?;
    if device.kind == Kind::Bridge {
        return behind_bridge(state, device, pod);
    }
    if state.carries_default_route(device.index) {
        return Err(Missing::Elsewhere { pod, prefix });
    }
    pod_end(device, pod)
}

fn best_route(state: &NodeState, pod: IpAddr) -> Option<&Route> {
    state
        .routes
        .iter()
        .filter(|route| route.prefix.contains(&pod))
        .min_by_key(|route| (u8::MAX - route.prefix.prefix_len(), route.metric))
}

fn behind_bridge(state: &NodeState, bridge: &Interface, pod: IpAddr) -> Result<u32, Missing> {
    let (index, name) = (bridge.index, bridge.name.clone());
    let Some(mac) = state.neighbours.get(&(index, pod)) else {
        return Err(Missing::Unresolved {
            pod,
            bridge: index,
            name,
        });
    };
    let port = state.fdb.get(&(index, *mac));
    match port.and_then(|port| state.interfaces.get(port)) {
        Some(port) => pod_end(port, pod),
        None => Err(Missing::PortUnknown {
            pod,
            bridge: index,
            name,
            mac: *mac,
        }),
    }
}

/// A pair with both ends here is plumbing (Cilium's `cilium_host`, two bridges joined), not a pod.
fn pod_end(device: &Interface, pod: IpAddr) -> Result<u32, Missing> {
    let pair = matches!(device.kind, Kind::Veth | Kind::Netkit);
    if pair && device.link_netns.is_some() && !device.is_relay() {
        return Ok(device.index);
    }
    Err(Missing::NotAPod {
        pod,
        name: device.name.clone(),
        kind: device.kind.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixture::{address, device, node};

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 7]);

    /// Two routed pods, two bridged ones (one not resolved), one whose route is not there yet.
    fn busy() -> NodeState {
        let own_pair = Interface {
            link_netns: None,
            ..device(9, "cilium_host", Kind::Veth)
        };
        let relay = Interface {
            alias: Some("stoq".into()),
            ..device(10, "stoq1b", Kind::Veth)
        };
        let devices = [
            device(2, "eth0", Kind::Veth),
            device(3, "cali1", Kind::Veth),
            device(4, "nk1", Kind::Netkit),
            device(5, "cni0", Kind::Bridge),
            device(6, "veth1", Kind::Veth),
            device(7, "vxlan0", Kind::Other("vxlan".into())),
            own_pair,
            relay,
        ];
        node(devices)
            .with_address("192.0.2.1", 2)
            .with_address("2001:db8::1", 2)
            .with_gateway("0.0.0.0/0", &[2])
            .with_gateway("::/0", &[2])
            .with_route("192.0.2.0/24", &[2])
            .with_route("10.0.0.0/24", &[])
            .with_route("10.0.0.1/32", &[3])
            .with_route("fd00::2/128", &[4])
            .with_route("10.1.0.0/24", &[5])
            .with_route("fd01::/64", &[5])
            .with_neighbour(5, "10.1.0.1", MAC)
            .with_neighbour(5, "fd01::1", MAC)
            .with_port(5, MAC, 6)
            .with_route("10.2.0.1/32", &[7])
            .with_route("10.2.0.2/32", &[9])
            .with_route("10.2.0.3/32", &[10])
            .with_route("10.2.0.4/32", &[3, 6])
            .with_gateway("10.3.0.0/24", &[3])
            .with_route("10.4.0.1/32", &[99])
    }

    fn reason(state: &NodeState, pod: &str) -> String {
        match host_side(state, address(pod)) {
            HostSide::NotFound(missing) => missing.to_string(),
            found => panic!("{pod} is found: {found:?}"),
        }
    }

    #[test]
    fn routed_and_bridged_pods_of_both_families_are_found() {
        for (pod, index) in [
            ("10.0.0.1", 3),
            ("fd00::2", 4),
            ("10.1.0.1", 6),
            ("fd01::1", 6),
        ] {
            assert_eq!(
                host_side(&busy(), address(pod)),
                HostSide::Interface(index),
                "{pod}"
            );
        }
    }

    #[test]
    fn a_pod_with_an_address_of_the_machine_is_on_the_host_network() {
        for ip in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(
                host_side(&busy(), address(ip)),
                HostSide::HostNetwork(address(ip))
            );
        }
    }

    #[test]
    fn every_other_outcome_says_why() {
        for (pod, why) in [
            ("10.0.0.9", "the route to 10.0.0.9, 10.0.0.0/24, rejects"),
            (
                "10.9.0.1",
                "the route to 10.9.0.1, 0.0.0.0/0, leads through a gateway or an uplink",
            ),
            (
                "192.0.2.9",
                "the route to 192.0.2.9, 192.0.2.0/24, leads through a gateway or an uplink",
            ),
            (
                "10.3.0.1",
                "the route to 10.3.0.1, 10.3.0.0/24, leads through a gateway or an uplink",
            ),
            (
                "10.2.0.4",
                "the route to 10.2.0.4, 10.2.0.4/32, leads through a gateway or an uplink",
            ),
            ("10.1.0.2", "10.1.0.2 is not resolved on bridge cni0"),
            (
                "10.2.0.1",
                "10.2.0.1 is reached through vxlan0 (vxlan), which is no pod's interface",
            ),
            (
                "10.2.0.2",
                "10.2.0.2 is reached through cilium_host (veth), which is no pod's interface",
            ),
            (
                "10.2.0.3",
                "10.2.0.3 is reached through stoq1b (veth), which is no pod's interface",
            ),
            ("10.4.0.1", "no route leads to 10.4.0.1"),
        ] {
            assert_eq!(reason(&busy(), pod), why);
        }
        assert_eq!(
            reason(&NodeState::default(), "10.0.0.1"),
            "no route leads to 10.0.0.1"
        );
    }

    #[test]
    fn a_port_the_bridge_forgot_and_a_port_that_is_no_pod_are_told_apart() {
        let mut state = busy();
        state.fdb.clear();
        assert_eq!(
            reason(&state, "10.1.0.1"),
            "bridge cni0 knows no port for 02:00:00:00:00:07 of 10.1.0.1"
        );
        let state = state.with_port(5, MAC, 7);
        assert!(reason(&state, "10.1.0.1").contains("vxlan0"));
    }

    #[test]
    fn of_equal_prefixes_the_lower_metric_wins() {
        let mut state = busy();
        let prefix = "10.0.0.1/32".parse().unwrap();
        let worse = Route {
            prefix,
            metric: 9,
            devices: vec![6],
            gateway: false,
        };
        state.routes.insert(worse);
        assert_eq!(
            host_side(&state, address("10.0.0.1")),
            HostSide::Interface(3)
        );
    }

    #[test]
    fn only_what_a_bridge_lacks_can_be_resolved() {
        let ask = |pod| match host_side(&busy(), address(pod)) {
            HostSide::NotFound(missing) => missing.resolvable(),
            _ => None,
        };
        assert_eq!(ask("10.1.0.2"), Some((5, address("10.1.0.2"))));
        assert_eq!(ask("10.0.0.9"), None);
    }
}
