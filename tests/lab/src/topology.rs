//! Which devices, addresses and routes a lab has: `ip` commands, one namespace at a time.
//!
//! ```text
//! client eth0 ===== wire ===== uplink0 node cali0  ---- eth0 pod (routed)
//!                                           cni0 = vethb0 -- eth0 bridged
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::pod::Pod;

/// The node's end of the wire.
pub const UPLINK: &str = "uplink0";
/// The client's end of the wire, and every pod's interface.
pub const ETH: &str = "eth0";
/// The node's address on the wire.
pub const NODE_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The node's IPv6 address on the wire.
pub const NODE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, 1);
/// The client's address.
pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// The client's IPv6 address.
pub const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, 2);
/// The impairment wire's ends, towards the client and towards the node.
pub const WIRE_ENDS: [&str; 2] = ["to-client", "to-node"];

const BRIDGE: &str = "cni0";
const BRIDGE_V4: &str = "10.244.2.1";
const BRIDGE_V6: &str = "fd00:244:2::1";
// As Calico does: the pod's gateway is no address of the node; proxy ARP answers for it in IPv4,
// and in IPv6 it is the link-local address that follows from the MAC.
const ROUTED_MAC: &str = "ee:ee:ee:ee:ee:ee";
const ROUTED_GATEWAY_V4: &str = "169.254.1.1";
const ROUTED_GATEWAY_V6: &str = "fe80::ecee:eeff:feee:eeee";

/// Sysctls of every namespace, before it has devices: addresses must be usable at once, and the
/// wire quiet.
pub const EVERYWHERE: [(&str, &str); 4] = [
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
];
/// Sysctls of the node, when its devices are there. The kernel would delay proxy ARP by up to 0.8 s.
pub(crate) const FORWARDING: [(&str, &str); 4] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/cali0/proxy_arp", "1"),
    ("net/ipv4/neigh/cali0/proxy_delay", "0"),
];

/// Makes a veth pair, one end here, the other in the namespace `far_netns`.
pub fn veth(near: &str, far: &str, far_netns: &str, mtu: u32) -> String {
    format!("link add {near} mtu {mtu} type veth peer name {far} mtu {mtu} netns {far_netns}")
}

/// The ends of the impairment wire.
pub(crate) fn wire() -> Vec<String> {
    WIRE_ENDS.map(|end| format!("link set {end} up")).into()
}

/// The client, once its end of the wire is there.
pub(crate) fn client() -> Vec<String> {
    on_the_wire(ETH, &CLIENT, &NODE)
}

/// The node's side of the wire.
pub(crate) fn node_uplink() -> Vec<String> {
    on_the_wire(UPLINK, &NODE, &CLIENT)
}

/// The node's side of both pods, whose namespaces are given.
pub(crate) fn node_pods(routed: &str, bridged: &str, mtu: u32) -> Vec<String> {
    let (v4, v6) = (Pod::Routed.v4(), Pod::Routed.v6());
    vec![
        veth("cali0", ETH, routed, mtu),
        format!("link set cali0 address {ROUTED_MAC} up"),
        format!("route add {v4}/32 dev cali0"),
        format!("route add {v6}/128 dev cali0"),
        format!("link add {BRIDGE} mtu {mtu} type bridge forward_delay 0 mcast_snooping 0"),
        format!("addr add {BRIDGE_V4}/24 dev {BRIDGE}"),
        format!("addr add {BRIDGE_V6}/64 dev {BRIDGE} nodad"),
        veth("vethb0", ETH, bridged, mtu),
        format!("link set vethb0 master {BRIDGE} up"),
        format!("link set {BRIDGE} up"),
    ]
}

/// The routed pod.
pub(crate) fn routed_pod() -> Vec<String> {
    let (v4, v6) = (Pod::Routed.v4(), Pod::Routed.v6());
    vec![
        format!("addr add {v4}/32 dev {ETH}"),
        format!("addr add {v6}/128 dev {ETH} nodad"),
        format!("link set {ETH} up"),
        format!("route add {ROUTED_GATEWAY_V4}/32 dev {ETH} scope link"),
        format!("route add 0.0.0.0/0 via {ROUTED_GATEWAY_V4} dev {ETH}"),
        format!("route add ::/0 via {ROUTED_GATEWAY_V6} dev {ETH}"),
    ]
}

/// The pod behind the bridge.
pub(crate) fn bridged_pod() -> Vec<String> {
    let (v4, v6) = (Pod::Bridged.v4(), Pod::Bridged.v6());
    vec![
        format!("addr add {v4}/24 dev {ETH}"),
        format!("addr add {v6}/64 dev {ETH} nodad"),
        format!("link set {ETH} up"),
        format!("route add 0.0.0.0/0 via {BRIDGE_V4}"),
        format!("route add ::/0 via {BRIDGE_V6}"),
    ]
}

/// One end of the wire.
struct End {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    mac: &'static str,
}

const CLIENT: End = End {
    v4: CLIENT_V4,
    v6: CLIENT_V6,
    mac: "02:00:00:00:00:02",
};
const NODE: End = End {
    v4: NODE_V4,
    v6: NODE_V6,
    mac: "02:00:00:00:00:01",
};

// The ends know each other's MAC: resolving it over a slow wire would lengthen the first handshake
// and lose packets that wait for it.
fn on_the_wire(device: &str, own: &End, peer: &End) -> Vec<String> {
    let (v4, v6, mac) = (peer.v4, peer.v6, peer.mac);
    vec![
        format!("addr add {}/24 dev {device}", own.v4),
        format!("addr add {}/64 dev {device} nodad", own.v6),
        format!("link set {device} address {} up", own.mac),
        format!("neigh replace {v4} lladdr {mac} dev {device} nud permanent"),
        format!("neigh replace {v6} lladdr {mac} dev {device} nud permanent"),
        format!("route add 0.0.0.0/0 via {v4}"),
        format!("route add ::/0 via {v6}"),
    ]
}
