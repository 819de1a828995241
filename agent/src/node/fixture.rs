//! Small node states for tests.

use std::{collections::BTreeSet, net::IpAddr};

use super::state::{Interface, Kind, Mac, NodeState, Route};

pub(crate) fn device(index: u32, name: &str, kind: Kind) -> Interface {
    let pair = matches!(kind, Kind::Veth | Kind::Netkit);
    Interface {
        index,
        name: name.into(),
        mac: None,
        mtu: 1500,
        kind,
        alias: None,
        master: None,
        link: None,
        link_netns: pair.then_some(0),
        up: true,
        carrier: true,
        xdp: BTreeSet::new(),
    }
}

pub(crate) fn node(devices: impl IntoIterator<Item = Interface>) -> NodeState {
    let interfaces = devices.into_iter().map(|one| (one.index, one)).collect();
    NodeState {
        interfaces,
        ..NodeState::default()
    }
}

impl NodeState {
    pub(crate) fn with_address(mut self, ip: &str, index: u32) -> Self {
        self.addresses.insert((address(ip), index));
        self
    }

    pub(crate) fn with_route(mut self, prefix: &str, devices: &[u32]) -> Self {
        self.routes.insert(route(prefix, devices, false));
        self
    }

    pub(crate) fn with_gateway(mut self, prefix: &str, devices: &[u32]) -> Self {
        self.routes.insert(route(prefix, devices, true));
        self
    }

    pub(crate) fn with_neighbour(mut self, bridge: u32, ip: &str, mac: Mac) -> Self {
        self.neighbours.insert((bridge, address(ip)), mac);
        self
    }

    pub(crate) fn with_port(mut self, bridge: u32, mac: Mac, port: u32) -> Self {
        self.fdb.insert((bridge, mac), port);
        self
    }
}

pub(crate) fn address(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

fn route(prefix: &str, devices: &[u32], gateway: bool) -> Route {
    Route {
        prefix: prefix.parse().unwrap(),
        metric: 0,
        devices: devices.to_vec(),
        gateway,
    }
}
