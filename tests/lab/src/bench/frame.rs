//! The packet of an established QUIC connection, as a whole frame.

use std::net::Ipv4Addr;

use super::node::PORT;
use crate::Pod;

/// The network its sources are of.
pub(super) const SOURCES: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 0);
/// Its source port.
pub(super) const SOURCE_PORT: u16 = 40_000;

const PAYLOAD: u16 = 64;

/// Source number `host`.
pub(super) fn source(host: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(SOURCES.to_bits() | u32::from(host))
}

/// A short header packet from this source to the routed pod. No checksums: nothing looks.
pub(super) fn established(host: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend([0x45, 0]);
    frame.extend((28 + PAYLOAD).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(source(host).octets());
    frame.extend(Pod::Routed.v4().octets());
    frame.extend(SOURCE_PORT.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend((8 + PAYLOAD).to_be_bytes());
    frame.extend([0, 0, 0x40]);
    frame.resize(14 + 28 + usize::from(PAYLOAD), 0);
    frame
}

#[cfg(test)]
mod tests {
    use stoq_ebpf_abi::parse::{self, Datagram};

    use super::*;

    #[test]
    fn it_parses_as_what_it_is() {
        let mut datagram = Datagram::default();
        let parsed = parse::frame(&established(259)[..], 0, &mut datagram);
        assert!(parsed.is_udp());
        assert_eq!(datagram.source[3], u32::from_ne_bytes([10, 9, 1, 3]));
        let ports = (datagram.source_port, datagram.destination_port);
        assert_eq!((ports, datagram.len), ((SOURCE_PORT, PORT), PAYLOAD.into()));
    }
}
