//! From a frame to a UDP datagram: Ethernet, up to two VLAN tags, IPv4, IPv6
//! and its extension headers, UDP, and what VXLAN, Geneve and IPIP carry.
//!
//! Whatever is not positively recognised is for the kernel to judge: it passes.

use crate::Bytes;

mod ip;
mod tunnel;

/// An address as the maps hold it: 16 bytes in wire order, IPv4 as
/// `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
pub type Addr = [u32; 4];

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;

/// What a frame turned out to be, in one word, to cross the kernel's function
/// boundaries: the datagram itself goes into the caller's [`Datagram`].
///
/// Bit 0: a whole UDP datagram. Bits 1 and 2: an inner Ethernet frame, an inner
/// IP packet, at the offset in the upper half. Bits 8 to 15: one more than the
/// [`Unparsed`]. Nothing of it: for the kernel alone (ARP, TCP, ICMP ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed(u64);

impl Parsed {
    /// Nothing STOQ looks at.
    pub const OTHER: Self = Self(0);
    const UDP: u64 = 1;
    const FRAME: u64 = 2;
    const PACKET: u64 = 4;

    /// Perhaps UDP, but not to be read with certainty.
    #[inline(always)]
    pub const fn unparsed_because(why: Unparsed) -> Self {
        Self((why as u64 + 1) << 8)
    }

    /// The packed form.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the packed form.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether there is a whole UDP datagram.
    #[inline(always)]
    pub const fn is_udp(self) -> bool {
        self.0 & Self::UDP != 0
    }

    /// Whether it is neither unparsed nor carries a packet of its own.
    #[inline(always)]
    pub const fn is_plain(self) -> bool {
        self.0 & !Self::UDP == 0
    }

    /// Whether it carries a packet of its own: a tunnel's.
    #[inline(always)]
    pub const fn has_inner(self) -> bool {
        self.0 & (Self::FRAME | Self::PACKET) != 0
    }

    /// Whether the inner packet begins with an Ethernet header.
    #[inline(always)]
    pub const fn inner_is_frame(self) -> bool {
        self.0 & Self::FRAME != 0
    }

    /// Where the inner packet begins.
    #[inline(always)]
    pub const fn inner_at(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// Number of the [`Unparsed`] plus one; 0: it is parsed.
    #[inline(always)]
    pub const fn unparsed_number(self) -> usize {
        (self.0 >> 8) as usize & 0xff
    }

    /// Why it is unparsed, if it is.
    pub fn unparsed(self) -> Option<Unparsed> {
        Unparsed::ALL
            .get(self.unparsed_number().wrapping_sub(1))
            .copied()
    }

    #[inline(always)]
    const fn inner(bit: u64, at: usize) -> Self {
        Self((at as u64) << 32 | bit)
    }

    #[inline(always)]
    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Parses the frame whose Ethernet header is at `at`; `out` is the datagram, if
/// the answer is that there is one.
#[inline(always)]
pub fn frame<B: Bytes + ?Sized>(bytes: &B, at: usize, out: &mut Datagram) -> Parsed {
    let mut at = at + 12;
    let Some(mut ethertype) = bytes.u16(at) else {
        return Parsed::OTHER;
    };
    for _ in 0..2 {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
            break;
        }
        at += 4;
        match bytes.u16(at) {
            Some(inner) => ethertype = inner,
            None => return Parsed::OTHER,
        }
    }
    match ethertype {
        ETHERTYPE_IPV4 => ip::v4(bytes, at + 2, out),
        ETHERTYPE_IPV6 => ip::v6(bytes, at + 2, out),
        _ => Parsed::OTHER,
    }
}

/// Parses the IP packet whose header is at `at`; likewise.
#[inline(always)]
pub fn packet<B: Bytes + ?Sized>(bytes: &B, at: usize, out: &mut Datagram) -> Parsed {
    match bytes.u8(at) {
        Some(first) if first >> 4 == 4 => ip::v4(bytes, at, out),
        Some(first) if first >> 4 == 6 => ip::v6(bytes, at, out),
        _ => Parsed::OTHER,
    }
}

/// The map form of an IPv4 address given in wire order.
#[inline(always)]
pub const fn mapped(v4: u32) -> Addr {
    [0, 0, 0x0000_ffff_u32.to_be(), v4]
}
