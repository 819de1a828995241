//! From a frame to a UDP datagram: Ethernet, up to two VLAN tags, IPv4, IPv6
//! and its extension headers, UDP, and what VXLAN, Geneve and IPIP carry.
//!
//! Whatever is not positively recognised is for the kernel to judge: it passes.

use crate::Bytes;

mod ip;
mod tunnel;

pub use tunnel::{Inner, inner};

/// An address as the maps hold it: 16 bytes in wire order, IPv4 as
/// `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
pub type Addr = [u32; 4];

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Nothing STOQ looks at: ARP, TCP, ICMP and all the rest.
    Other,
    /// Perhaps UDP, but not to be read with certainty.
    Unparsed(Unparsed),
    /// A whole UDP datagram.
    Udp(Datagram),
    /// An IP packet inside an IP packet, whose header is at this offset.
    IpInIp(usize),
}

/// Why a packet that may be UDP was left to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Unparsed {
    /// A fragment of an IP packet.
    Fragment = 0,
    /// A header that contradicts itself or the frame's length.
    Malformed = 1,
    /// More IPv6 extension headers than are followed.
    TooDeep = 2,
}

impl Unparsed {
    /// Number of reasons.
    pub const COUNT: usize = 3;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [Self::Fragment, Self::Malformed, Self::TooDeep];

    /// The metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fragment => "fragment",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
        }
    }
}

/// A UDP datagram, or a train of them in an offloaded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it comes from.
    pub source: Addr,
    /// Where it goes.
    pub destination: Addr,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub destination_port: u16,
    /// Whether the addresses are IPv6.
    pub v6: bool,
    /// Offset of the UDP payload in the frame.
    pub payload: usize,
    /// Bytes of UDP payload, of all segments together.
    pub len: usize,
}

/// Parses the frame whose Ethernet header is at `at`.
#[inline(always)]
pub fn frame<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Parsed {
    let mut at = at + 12;
    let Some(mut ethertype) = bytes.u16(at) else {
        return Parsed::Other;
    };
    for _ in 0..2 {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
            break;
        }
        at += 4;
        match bytes.u16(at) {
            Some(inner) => ethertype = inner,
            None => return Parsed::Other,
        }
    }
    match ethertype {
        ETHERTYPE_IPV4 => ip::v4(bytes, at + 2),
        ETHERTYPE_IPV6 => ip::v6(bytes, at + 2),
        _ => Parsed::Other,
    }
}

/// Parses the IP packet whose header is at `at`.
#[inline(always)]
pub fn packet<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Parsed {
    match bytes.u8(at) {
        Some(first) if first >> 4 == 4 => ip::v4(bytes, at),
        Some(first) if first >> 4 == 6 => ip::v6(bytes, at),
        _ => Parsed::Other,
    }
}

/// The map form of an IPv4 address given in wire order.
#[inline(always)]
pub const fn mapped(v4: u32) -> Addr {
    [0, 0, 0x0000_ffff_u32.to_be(), v4]
}
