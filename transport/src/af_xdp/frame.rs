//! From a frame's headers to where its datagram is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use quinn::udp::EcnCodepoint;
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::parse::{self, Addr};

/// Bytes that hold Ethernet with two tags, IPv4 with all the options there can be, or IPv6 with 58
/// bytes of extensions, and UDP.
pub(super) const HEADERS: usize = 128;

/// The beginning of a frame, and the length of all of it.
pub(super) struct Headers<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) len: usize,
}

/// A UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// Who sent it.
    pub(super) source: SocketAddr,
    /// Whom it is addressed to.
    pub(super) destination: IpAddr,
    pub(super) ecn: Option<EcnCodepoint>,
    /// Where in the frame its payload begins.
    pub(super) at: usize,
    /// Bytes of payload.
    pub(super) len: usize,
}

/// The datagram that a frame is; `None` for fragments, tunnels, empty ones and all that is not UDP. Its
/// checksum is not looked at: a virtual link leaves it unfinished, and QUIC authenticates packets itself.
pub(super) fn datagram(headers: &Headers<'_>) -> Option<Datagram> {
    let mut found = parse::Datagram::default();
    let parsed = parse::frame(headers, 0, &mut found);
    if !parsed.is_udp() || !parsed.is_plain() || found.len == 0 {
        return None;
    }
    Some(Datagram {
        source: SocketAddr::new(address(found.source), found.source_port),
        destination: address(found.destination),
        ecn: ecn(headers, found.v6)?,
        at: found.payload,
        len: found.len,
    })
}

fn address(address: Addr) -> IpAddr {
    let [a, b, c, d] = address.map(u32::from_be);
    let bits = [a, b, c, d]
        .iter()
        .fold(0u128, |bits, word| bits << 32 | u128::from(*word));
    IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()
}

/// Outer `None`: there is no IP header, which the parser has ruled out.
fn ecn(headers: &Headers<'_>, v6: bool) -> Option<Option<EcnCodepoint>> {
    const TAGS: [u16; 2] = [0x8100, 0x88a8];
    let mut at = 12;
    while TAGS.contains(&headers.u16(at)?) {
        at += 4;
    }
    let first = headers.u16(at + 2)?;
    // The traffic class of IPv6 begins in the middle of a byte (RFC 8200, 3).
    let class = if v6 { first >> 4 } else { first };
    Some(EcnCodepoint::from_bits(class as u8 & 0b11))
}

impl Bytes for Headers<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn u8(&self, at: usize) -> Option<u8> {
        self.bytes.u8(at)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes.u16(at)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes.word(at)
    }
}

#[cfg(test)]
mod tests;
