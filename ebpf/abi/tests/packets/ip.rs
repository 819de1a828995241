//! IPv4 and IPv6 headers.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;
pub(super) const UDP: u8 = 17;

/// What varies of an IPv4 header.
pub(super) struct V4 {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    /// Words of four bytes; each a no-operation option.
    pub(super) options: usize,
    pub(super) fragment: u16,
}

pub(super) fn v4(header: &V4, body: &[u8]) -> Vec<u8> {
    let words = 5 + header.options;
    let length = (words * 4 + body.len()) as u16;
    let mut bytes = vec![0x40 | words as u8, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(header.fragment.to_be_bytes());
    bytes.extend([64, header.protocol, 0, 0]);
    bytes.extend(header.source.octets());
    bytes.extend(header.destination.octets());
    bytes.resize(words * 4, 1);
    let sum = checksum(&bytes);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// RFC 1071, over a header whose checksum is still zero.
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = words.sum::<u32>();
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// `extensions` are kinds and lengths, as [`super::Udp::extension`] takes them.
pub(super) fn v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    extensions: &[(u8, usize)],
    body: &[u8],
) -> Vec<u8> {
    let following = extensions.iter().skip(1).map(|(kind, _)| *kind);
    let mut headers = Vec::new();
    for ((_, units), next) in extensions.iter().zip(following.chain([protocol])) {
        headers.extend([next, *units as u8]);
        headers.resize(headers.len() + 6 + 8 * units, 0);
    }
    let first = extensions.first().map_or(protocol, |(kind, _)| *kind);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(((headers.len() + body.len()) as u16).to_be_bytes());
    bytes.extend([first, 64]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(headers);
    bytes.extend(body);
    bytes
}
