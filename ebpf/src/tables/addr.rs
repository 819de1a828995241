//! Addresses as the maps hold them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stoq_ebpf_abi::parse::Addr;

/// Wire order, IPv4 mapped.
pub fn to_wire(addr: IpAddr) -> Addr {
    let octets = match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    words(octets)
}

/// The address a map holds.
pub fn from_wire(addr: Addr) -> IpAddr {
    IpAddr::V6(v6_from_wire(addr)).to_canonical()
}

pub(super) fn v4_to_wire(addr: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(addr.octets())
}

pub(super) fn v4_from_wire(word: u32) -> Ipv4Addr {
    Ipv4Addr::from(word.to_ne_bytes())
}

pub(super) fn v6_to_wire(addr: Ipv6Addr) -> Addr {
    words(addr.octets())
}

pub(super) fn v6_from_wire(addr: Addr) -> Ipv6Addr {
    // Each word keeps its bytes' order, so only the words are put in a row.
    let [a, b, c, d] = addr.map(u32::from_be);
    let high = u128::from(a) << 96 | u128::from(b) << 64;
    Ipv6Addr::from_bits(high | u128::from(c) << 32 | u128::from(d))
}

fn words(octets: [u8; 16]) -> Addr {
    let bits = u128::from_be_bytes(octets);
    [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_map() {
        for text in ["192.0.2.7", "2001:db8::1:2", "::", "0.0.0.0"] {
            let addr: IpAddr = text.parse().unwrap();
            assert_eq!(from_wire(to_wire(addr)), addr);
        }
    }

    #[test]
    fn ipv4_is_mapped_in_wire_order() {
        let wire = to_wire([192, 0, 2, 7].into());
        let bytes: Vec<u8> = wire.into_iter().flat_map(u32::to_ne_bytes).collect();
        assert_eq!(
            bytes,
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]
        );
    }
}
