//! Addresses and routes of a cluster: all on one wire, as on one switch.
//!
//! ```text
//! control plane cp0 ---+--- uplink0 node-a (pods 10.244.1.0/24)
//!       client eth0 ---+--- uplink0 node-b (pods 10.244.2.0/24)
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use stoq_lab::Netns;
pub use stoq_lab::topology::UPLINK;
use stoq_lab::topology::{EVERYWHERE, veth};

use crate::node::NodeOptions;

/// Where the API server serves: machines of the cluster reach it there, others by its proxy.
pub const API: SocketAddrV4 = SocketAddrV4::new(CONTROL_PLANE, 6443);
/// The control plane's address on the wire.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);
/// The client's address on the wire, and every node's way to the world.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 100);
/// Every address in here is the client's too, to play many clients.
pub const CLIENTS: &str = "198.18.0.0/15";
/// What Services get their cluster addresses from.
pub const SERVICES: &str = "10.96.0.0/16";
/// The address of the API server's own Service.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// What pods get their addresses from.
pub const PODS: &str = "10.244.0.0/16";

pub(crate) const CP: &str = "cp0";
pub(crate) const CLIENT_DEVICE: &str = "eth0";
const BRIDGE: &str = "br0";

/// A node's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) pods: String,
}

/// Names and addresses of so many nodes.
pub(crate) fn plan(nodes: &[NodeOptions]) -> Vec<Member> {
    let numbers = (1..=u8::MAX - 100).zip('a'..='z').take(nodes.len());
    let member = |(number, letter)| Member {
        name: format!("node-{letter}"),
        address: Ipv4Addr::new(10, 89, 0, 10 + number),
        pods: format!("10.244.{number}.0/24"),
    };
    numbers.map(member).collect()
}

/// A namespace whose addresses are usable at once, and which takes packets from any side.
pub(crate) fn namespace(name: String) -> Result<Netns> {
    let netns = Netns::create(name)?;
    for (key, value) in EVERYWHERE {
        netns.sysctl(key, value)?;
    }
    Ok(netns)
}

/// The control plane without a wire: its address is on the loopback.
pub(crate) fn alone() -> Vec<String> {
    vec![format!("addr add {CONTROL_PLANE}/32 dev lo")]
}

/// The wire itself.
pub(crate) fn bridge() -> Vec<String> {
    vec![
        format!("link add {BRIDGE} mtu 9000 type bridge forward_delay 0 mcast_snooping 0"),
        format!("link set {BRIDGE} up"),
    ]
}

/// What joins a device of another namespace to the wire.
pub(crate) fn cable(port: &str, device: &str, netns: &str, mtu: u32) -> Vec<String> {
    vec![
        veth(port, device, netns, mtu),
        format!("link set {port} master {BRIDGE} up"),
    ]
}

pub(crate) fn control_plane(plan: &[Member]) -> Vec<String> {
    let mut lines = on_the_wire(CP, CONTROL_PLANE);
    lines.extend(plan.iter().map(to_pods));
    lines
}

pub(crate) fn client(plan: &[Member]) -> Vec<String> {
    let mut lines = on_the_wire(CLIENT_DEVICE, CLIENT);
    lines.push(format!("route add local {CLIENTS} dev lo"));
    lines.extend(plan.iter().map(to_pods));
    lines
}

pub(crate) fn node(own: &Member, plan: &[Member]) -> Vec<String> {
    let mut lines = on_the_wire(UPLINK, own.address);
    lines.push(format!("route add default via {CLIENT}"));
    lines.extend(plan.iter().filter(|&other| other != own).map(to_pods));
    lines
}

fn on_the_wire(device: &str, address: Ipv4Addr) -> Vec<String> {
    vec![
        format!("addr add {address}/24 dev {device}"),
        format!("link set {device} up"),
    ]
}

fn to_pods(node: &Member) -> String {
    format!("route add {} via {}", node.pods, node.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_places_of_their_own() {
        let plan = plan(&[NodeOptions::default(); 3]);
        let last = Member {
            name: "node-c".into(),
            address: Ipv4Addr::new(10, 89, 0, 13),
            pods: "10.244.3.0/24".into(),
        };
        assert_eq!(plan[2], last);
        let routes = node(&plan[2], &plan);
        assert!(routes.contains(&"route add 10.244.1.0/24 via 10.89.0.11".to_owned()));
        assert!(!routes.iter().any(|line| line.contains("10.244.3.0")));
    }
}
