//! Whether an rtnetlink event says anything the state does not.

use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, neighbour::NeighbourMessage};

use super::{
    message::{address, fdb_entry, interface, neighbour, route},
    state::{Mac, NodeState},
};

/// Whether the event contradicts `state`. A false alarm costs one snapshot; nothing else.
pub(super) fn is_news(state: &NodeState, event: &RouteNetlinkMessage) -> bool {
    use RouteNetlinkMessage as M;
    match event {
        // A bridge port's own message names the port but describes only its bridging.
        M::NewLink(link) | M::DelLink(link)
            if link.header.interface_family != AddressFamily::Unspec =>
        {
            true
        }
        M::NewLink(link) => state.interfaces.get(&link.header.index) != Some(&interface(link)),
        M::DelLink(link) => state.interfaces.contains_key(&link.header.index),
        M::NewAddress(one) => address(one).is_some_and(|one| !state.addresses.contains(&one)),
        M::DelAddress(one) => address(one).is_some_and(|one| state.addresses.contains(&one)),
        M::NewRoute(one) => route(one).is_some_and(|one| !state.routes.contains(&one)),
        M::DelRoute(one) => route(one).is_some_and(|one| state.routes.contains(&one)),
        M::NewNeighbour(one) => neighbour_is_news(state, one, true),
        M::DelNeighbour(one) => neighbour_is_news(state, one, false),
        _ => false,
    }
}

fn neighbour_is_news(state: &NodeState, message: &NeighbourMessage, exists: bool) -> bool {
    if let Some((key, port)) = fdb_entry(message) {
        let known = state.fdb.get(&key) == Some(&port);
        return known != exists && (known || wants_port(state, key));
    }
    let Some((key, mac)) = neighbour(message) else {
        return false;
    };
    state.is_bridge(key.0) && state.neighbours.get(&key) != mac.filter(|_| exists).as_ref()
}

/// Whether some neighbour on the bridge has the MAC.
fn wants_port(state: &NodeState, (bridge, mac): (u32, Mac)) -> bool {
    state
        .neighbours
        .iter()
        .any(|(key, one)| key.0 == bridge && *one == mac)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use netlink_packet_route::{
        address::{AddressAttribute, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        neighbour::{NeighbourAttribute, NeighbourState},
        route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
    };

    use super::{RouteNetlinkMessage as M, *};
    use crate::node::{
        Kind,
        fixture::{address, device, node},
    };

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 7]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 8]);

    fn known() -> NodeState {
        let devices = [
            device(2, "br0", Kind::Bridge),
            device(3, "pod", Kind::Veth),
            device(4, "eth0", Kind::Hardware),
        ];
        node(devices)
            .with_address("10.1.0.1", 2)
            .with_route("10.1.0.0/24", &[2])
            .with_neighbour(2, "10.1.0.2", MAC)
            .with_port(2, MAC, 3)
    }

    fn link(index: u32, mtu: u32) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        let kind = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]);
        message.attributes = vec![
            LinkAttribute::IfName("br0".into()),
            LinkAttribute::Mtu(mtu),
            kind,
        ];
        message
    }

    fn of_bridge_port(mut message: LinkMessage) -> LinkMessage {
        message.header.interface_family = AddressFamily::Bridge;
        message
    }

    fn on_bridge(ip: &str) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = 2;
        message.attributes = vec![AddressAttribute::Address(address(ip))];
        message
    }

    fn to_bridge(ip: [u8; 4], table: u8) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 24;
        message.header.table = table;
        message.header.kind = RouteType::Unicast;
        let destination = RouteAttribute::Destination(IpAddr::from(ip).into());
        message.attributes = vec![destination, RouteAttribute::Oif(2)];
        message
    }

    fn entry(index: u32, ip: &str, mac: Option<Mac>, state: NeighbourState) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = index;
        message.header.state = state;
        message.attributes = vec![NeighbourAttribute::Destination(address(ip).into())];
        message
            .attributes
            .extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.0.to_vec())));
        message
    }

    fn forward(mac: Mac, port: u32) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = port;
        message.header.state = NeighbourState::Reachable;
        message.attributes = vec![
            NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
            NeighbourAttribute::Controller(2),
        ];
        message
    }

    #[test]
    fn what_the_state_already_says_is_no_news() {
        use NeighbourState::{Failed, Reachable, Stale};
        let main = RouteHeader::RT_TABLE_MAIN;
        for event in [
            M::NewLink(link(2, 1500)),
            M::DelLink(link(9, 1500)),
            M::NewAddress(on_bridge("10.1.0.1")),
            M::DelAddress(on_bridge("10.1.0.9")),
            M::NewRoute(to_bridge([10, 1, 0, 0], main)),
            M::DelRoute(to_bridge([10, 9, 0, 0], main)),
            M::NewRoute(to_bridge([10, 9, 0, 0], 99)),
            M::NewNeighbour(entry(2, "10.1.0.2", Some(MAC), Stale)),
            M::NewNeighbour(entry(2, "10.1.0.2", Some(MAC), Reachable)),
            M::NewNeighbour(entry(4, "192.0.2.254", Some(MAC), Reachable)),
            M::NewNeighbour(entry(2, "10.1.0.9", None, Failed)),
            M::DelNeighbour(entry(2, "10.1.0.9", None, Failed)),
            M::NewNeighbour(forward(MAC, 3)),
            M::NewNeighbour(forward(OTHER, 3)),
            M::DelNeighbour(forward(MAC, 4)),
        ] {
            assert!(!is_news(&known(), &event), "{event:?}");
        }
    }

    #[test]
    fn what_contradicts_the_state_is_news() {
        let main = RouteHeader::RT_TABLE_MAIN;
        for event in [
            M::NewLink(link(2, 9000)),
            M::NewLink(link(9, 1500)),
            M::DelLink(link(2, 1500)),
            M::DelLink(of_bridge_port(link(3, 1500))),
            M::NewAddress(on_bridge("10.1.0.9")),
            M::DelAddress(on_bridge("10.1.0.1")),
            M::NewRoute(to_bridge([10, 9, 0, 0], main)),
            M::DelRoute(to_bridge([10, 1, 0, 0], main)),
            M::NewNeighbour(entry(2, "10.1.0.2", Some(OTHER), NeighbourState::Reachable)),
            M::NewNeighbour(entry(2, "10.1.0.2", None, NeighbourState::Failed)),
            M::NewNeighbour(entry(2, "10.1.0.3", Some(OTHER), NeighbourState::Reachable)),
            M::DelNeighbour(entry(2, "10.1.0.2", Some(MAC), NeighbourState::Stale)),
            M::NewNeighbour(forward(MAC, 4)),
            M::DelNeighbour(forward(MAC, 3)),
        ] {
            assert!(is_news(&known(), &event), "{event:?}");
        }
    }
}
