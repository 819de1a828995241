//! rtnetlink messages as parts of a [`NodeState`].

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType},
};

use super::state::{Interface, Kind, Mac, Route};

/// The interface a link message describes.
pub(super) fn interface(message: &LinkMessage) -> Interface {
    let flags = message.header.flags;
    let mut interface = Interface {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        kind: Kind::Hardware,
        alias: None,
        master: None,
        link: None,
        link_netns: None,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        xdp: BTreeSet::new(),
    };
    if message.header.link_layer_type == LinkLayerType::Loopback {
        interface.kind = Kind::Loopback;
    }
    for attribute in &message.attributes {
        describe(&mut interface, attribute);
    }
    interface
}

fn describe(interface: &mut Interface, attribute: &LinkAttribute) {
    match attribute {
        LinkAttribute::IfName(name) => interface.name.clone_from(name),
        LinkAttribute::Address(bytes) => interface.mac = mac(bytes),
        LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
        LinkAttribute::IfAlias(alias) => interface.alias = Some(alias.clone()),
        LinkAttribute::Controller(index) => interface.master = Some(*index),
        LinkAttribute::Link(index) => interface.link = Some(*index),
        LinkAttribute::LinkNetNsId(id) => interface.link_netns = Some(*id),
        LinkAttribute::Xdp(xdp) => interface.xdp = xdp.iter().filter_map(xdp_program).collect(),
        LinkAttribute::LinkInfo(infos) => {
            if let Some(kind) = infos.iter().find_map(link_kind) {
                interface.kind = kind;
            }
        }
        _ => {}
    }
}

fn link_kind(info: &LinkInfo) -> Option<Kind> {
    match info {
        LinkInfo::Kind(InfoKind::Veth) => Some(Kind::Veth),
        LinkInfo::Kind(InfoKind::Netkit) => Some(Kind::Netkit),
        LinkInfo::Kind(InfoKind::Bridge) => Some(Kind::Bridge),
        LinkInfo::Kind(other) => Some(Kind::Other(other.to_string())),
        _ => None,
    }
}

fn xdp_program(attribute: &LinkXdp) -> Option<u32> {
    match attribute {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id).filter(|id| *id != 0),
        _ => None,
    }
}

/// The address and interface an address message describes.
pub(super) fn address(message: &AddressMessage) -> Option<(IpAddr, u32)> {
    // On a point-to-point interface `Address` is the other side's; `Local` is ours.
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(ip) => Some(*ip),
            _ => None,
        });
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        });
    Some((local.or(address)?, message.header.index))
}

/// The route a route message describes, if the state keeps such routes.
pub(super) fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let prefix = prefix(message)?;
    let ours = table(message) == u32::from(RouteHeader::RT_TABLE_MAIN)
        && !header.flags.contains(RouteFlags::Cloned)
        && !link_scoped(&prefix);
    let mut route = Route {
        prefix,
        metric: 0,
        devices: Vec::new(),
        gateway: false,
    };
    for attribute in &message.attributes {
        lead(&mut route, attribute);
    }
    if header.kind != RouteType::Unicast {
        route.devices.clear();
    }
    ours.then_some(route)
}

fn lead(route: &mut Route, attribute: &RouteAttribute) {
    match attribute {
        RouteAttribute::Priority(metric) => route.metric = *metric,
        RouteAttribute::Oif(index) => route.devices.push(*index),
        RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => route.gateway = true,
        RouteAttribute::MultiPath(hops) => {
            for hop in hops {
                route.devices.push(hop.interface_index);
                hop.attributes
                    .iter()
                    .for_each(|attribute| lead(route, attribute));
            }
        }
        _ => {}
    }
}

fn table(message: &RouteMessage) -> u32 {
    let long = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    long.unwrap_or(u32::from(message.header.table))
}

fn prefix(message: &RouteMessage) -> Option<IpNet> {
    let destination = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
            _ => None,
        });
    let any = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    IpNet::new(
        destination.unwrap_or(any),
        message.header.destination_prefix_length,
    )
    .ok()
}

/// Every interface brings a link-local and a multicast prefix; no pod is found by them.
fn link_scoped(prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(_) => false,
        IpNet::V6(prefix) => {
            prefix.prefix_len() > 0
                && (prefix.addr().is_unicast_link_local() || prefix.addr().is_multicast())
        }
    }
}

/// ((interface, address), MAC if resolved) of an ARP or ND entry.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<((u32, IpAddr), Option<Mac>)> {
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
            _ => None,
        });
    // Multicast groups are in the table too, with a MAC made of the address.
    let address = address.filter(|ip| !ip.is_multicast())?;
    Some((
        (message.header.ifindex, address),
        link_layer_address(message),
    ))
}

/// ((bridge, MAC), port) of a bridge's FDB entry that points out of a port.
pub(super) fn fdb_entry(message: &NeighbourMessage) -> Option<((u32, Mac), u32)> {
    // Permanent entries are the ports' own addresses.
    if message.header.family != AddressFamily::Bridge
        || message.header.state == NeighbourState::Permanent
    {
        return None;
    }
    let bridge = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Controller(index) => Some(*index),
            _ => None,
        });
    Some((
        (bridge?, link_layer_address(message)?),
        message.header.ifindex,
    ))
}

fn link_layer_address(message: &NeighbourMessage) -> Option<Mac> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac(bytes),
            _ => None,
        })
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}
