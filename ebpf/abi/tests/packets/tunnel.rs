//! Packets in packets.

use std::net::SocketAddr;

use super::{Udp, ethernet, ip};

/// The Geneve protocol type of an Ethernet frame.
pub(crate) const ETHER_BRIDGING: u16 = 0x6558;

/// `outer` as VXLAN around `inner`.
pub(crate) fn vxlan(outer: Udp, inner: &[u8]) -> Udp {
    let mut payload = vec![0x08, 0, 0, 0, 0, 0, 42, 0];
    payload.extend(inner);
    outer.payload(payload)
}

/// `outer` as Geneve around `inner`, with words of options.
pub(crate) fn geneve(outer: Udp, options: u8, protocol: u16, inner: &[u8]) -> Udp {
    let mut payload = vec![options, 0];
    payload.extend(protocol.to_be_bytes());
    payload.extend([0, 0, 42, 0]);
    payload.resize(8 + 4 * usize::from(options & 0x3f), 0);
    payload.extend(inner);
    outer.payload(payload)
}

/// A frame in which `outer`'s addresses carry `inner`'s IP packet: any of the four ways.
pub(crate) fn ip_in_ip(outer: &Udp, inner: &Udp) -> Vec<u8> {
    let protocol = if inner.source.is_ipv4() { 4 } else { 41 };
    let body = inner.packet();
    match (outer.source, outer.destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            let header = ip::V4 {
                source: *source.ip(),
                destination: *destination.ip(),
                protocol,
                options: outer.options,
                fragment: outer.fragment,
            };
            ethernet(&outer.tags, 0x0800, &ip::v4(&header, &body))
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            let (from, to) = (*source.ip(), *destination.ip());
            let packet = ip::v6(from, to, protocol, &outer.extensions, &body);
            ethernet(&outer.tags, 0x86dd, &packet)
        }
        mixed => panic!("two families: {mixed:?}"),
    }
}
