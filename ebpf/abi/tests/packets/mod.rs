//! Packets for tests: built by name, so that a table of them reads like prose.
//! Shared with the fuzzer and with the tests of the loaded programs.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unused_imports, reason = "likewise")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod ip;
pub(crate) mod node;
mod offload;
pub(crate) mod quic;
pub(crate) mod table;
mod tunnel;
pub(crate) mod watch;

use std::net::SocketAddr;

use stoq_ebpf_abi::parse::{Addr, mapped};

pub(crate) use ip::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING};
pub(crate) use offload::Offloaded;
pub(crate) use tunnel::{ETHER_BRIDGING, geneve, ip_in_ip, vxlan};

pub(crate) const VLAN: u16 = 0x8100;
pub(crate) const QINQ: u16 = 0x88a8;

/// A UDP packet, correct unless told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Udp {
    source: SocketAddr,
    destination: SocketAddr,
    payload: Vec<u8>,
    tags: Vec<u16>,
    options: usize,
    fragment: u16,
    extensions: Vec<(u8, usize)>,
    udp_length: Option<u16>,
    trailer: usize,
}

/// A packet from `source` to `destination`; both of one family.
pub(crate) fn udp(source: &str, destination: &str) -> Udp {
    Udp {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        payload: Vec::new(),
        tags: Vec::new(),
        options: 0,
        fragment: 0,
        extensions: Vec::new(),
        udp_length: None,
        trailer: 0,
    }
}

impl Udp {
    pub(crate) fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// One more VLAN tag, behind those there are.
    pub(crate) fn tag(mut self, ethertype: u16) -> Self {
        self.tags.push(ethertype);
        self
    }

    /// IPv4 options, in words of four bytes.
    pub(crate) fn options(mut self, words: usize) -> Self {
        self.options = words;
        self
    }

    /// IPv4's fragment word: flags and offset.
    pub(crate) fn fragment(mut self, word: u16) -> Self {
        self.fragment = word;
        self
    }

    /// One more IPv6 extension header, with `units` of eight bytes behind its first eight.
    pub(crate) fn extension(mut self, kind: u8, units: usize) -> Self {
        self.extensions.push((kind, units));
        self
    }

    /// A UDP length other than the true one.
    pub(crate) fn udp_length(mut self, length: u16) -> Self {
        self.udp_length = Some(length);
        self
    }

    /// Bytes behind the IP packet, as Ethernet's padding is.
    pub(crate) fn trailer(mut self, bytes: usize) -> Self {
        self.trailer = bytes;
        self
    }

    /// The UDP header and its payload. No checksum: nothing here verifies one.
    fn datagram(&self) -> Vec<u8> {
        let length = self.udp_length.unwrap_or(self.payload.len() as u16 + 8);
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(&self.payload);
        bytes
    }

    /// The IP packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut bytes = match (self.source, self.destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => ip::v4(
                &ip::V4 {
                    source: *source.ip(),
                    destination: *destination.ip(),
                    protocol: ip::UDP,
                    options: self.options,
                    fragment: self.fragment,
                },
                &self.datagram(),
            ),
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => ip::v6(
                *source.ip(),
                *destination.ip(),
                ip::UDP,
                &self.extensions,
                &self.datagram(),
            ),
            mixed => panic!("two families: {mixed:?}"),
        };
        bytes.resize(bytes.len() + self.trailer, 0);
        bytes
    }

    /// The Ethernet frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let ethertype = if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        ethernet(&self.tags, ethertype, &self.packet())
    }

    /// Offset of the UDP payload in [`Udp::frame`].
    pub(crate) fn payload_at(&self) -> usize {
        self.frame().len() - self.trailer - self.payload.len()
    }
}

/// An Ethernet frame with these tags, each a tag's own ethertype.
pub(crate) fn ethernet(tags: &[u16], ethertype: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 7]);
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// An address in the form of the maps.
pub(crate) fn addr(text: &str) -> Addr {
    match text.parse().unwrap() {
        std::net::IpAddr::V4(v4) => mapped(u32::from_ne_bytes(v4.octets())),
        std::net::IpAddr::V6(v6) => words(v6.octets()),
    }
}

fn words(octets: [u8; 16]) -> Addr {
    std::array::from_fn(|i| u32::from_ne_bytes(octets[4 * i..4 * i + 4].try_into().unwrap()))
}
