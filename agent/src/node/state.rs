//! The namespace as plain data.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use ipnet::IpNet;

/// Alias of the interfaces the agent itself makes (relays): never an uplink, never a pod's.
pub const RELAY_ALIAS: &str = "stoq";

/// One consistent look at the namespace; equal states call for equal plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Every interface, by index.
    pub interfaces: BTreeMap<u32, Interface>,
    /// Every address of the machine, with the index of its interface.
    pub addresses: BTreeSet<(IpAddr, u32)>,
    /// The main routing table, without link-local and multicast prefixes.
    pub routes: BTreeSet<Route>,
    /// Resolved neighbours on bridges, by (bridge, address); others decide nothing.
    pub neighbours: BTreeMap<(u32, IpAddr), Mac>,
    /// Port of each neighbour's MAC, by (bridge, MAC). MACs of no neighbour are left out, so that a
    /// pod that floods its bridge with sources costs the agent nothing.
    pub fdb: BTreeMap<(u32, Mac), u32>,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Index, unique in the namespace; a device made again gets a new one.
    pub index: u32,
    /// Name, as of now.
    pub name: String,
    /// Ethernet address, if it has one.
    pub mac: Option<Mac>,
    /// Bytes.
    pub mtu: u32,
    /// What makes the device.
    pub kind: Kind,
    /// `ip link set ... alias`.
    pub alias: Option<String>,
    /// Index of the bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// Index of the other end (veth, netkit) or the parent (VLAN), in the namespace `link_netns`.
    pub link: Option<u32>,
    /// Id of the other end's namespace; `None` if that is this one.
    pub link_netns: Option<i32>,
    /// Administratively up.
    pub up: bool,
    /// Has a carrier.
    pub carrier: bool,
    /// Ids of the XDP programs on it, whoever put them there.
    pub xdp: BTreeSet<u32>,
}

/// What makes an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A NIC, or any device without a link kind.
    Hardware,
    /// `lo`.
    Loopback,
    /// One end of a veth pair.
    Veth,
    /// One end of a netkit pair.
    Netkit,
    /// A Linux bridge.
    Bridge,
    /// The kernel's name of any other kind: `vxlan`, `dummy`, `bond`.
    Other(String),
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// One route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Destination; `0.0.0.0/0` or `::/0` is a default route.
    pub prefix: IpNet,
    /// The kernel prefers the lower one.
    pub metric: u32,
    /// Interfaces it leads to; empty if it rejects.
    pub devices: Vec<u32>,
    /// The next hop is a router, not the destination itself.
    pub gateway: bool,
}

impl NodeState {
    /// Whether `address` is one of the machine's own.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.addresses
            .range((address, 0)..=(address, u32::MAX))
            .next()
            .is_some()
    }

    /// The interface called `name`.
    pub fn interface_named(&self, name: &str) -> Option<&Interface> {
        self.interfaces.values().find(|one| one.name == name)
    }

    /// Whether the interface is a bridge.
    pub fn is_bridge(&self, index: u32) -> bool {
        self.interfaces
            .get(&index)
            .is_some_and(|one| one.kind == Kind::Bridge)
    }

    /// Whether a default route leads to the interface.
    pub fn carries_default_route(&self, index: u32) -> bool {
        self.routes
            .iter()
            .any(|route| route.is_default() && route.devices.contains(&index))
    }
}

impl Interface {
    /// Whether the agent made it.
    pub fn is_relay(&self) -> bool {
        self.alias.as_deref() == Some(RELAY_ALIAS)
    }
}

impl Route {
    /// Whether it covers every address of its family.
    pub fn is_default(&self) -> bool {
        self.prefix.prefix_len() == 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware => "hardware",
            Self::Loopback => "loopback",
            Self::Veth => "veth",
            Self::Netkit => "netkit",
            Self::Bridge => "bridge",
            Self::Other(name) => name,
        })
    }
}
