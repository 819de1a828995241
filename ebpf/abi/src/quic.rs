//! What can be read of a QUIC packet without keys: the invariants of RFC 8999,
//! the long headers of version 1 (RFC 9000, 17.2) and 2 (RFC 9369, 3.2), and
//! the short header's spin bit (RFC 9000, 17.3.1).

use crate::Bytes;

/// QUIC version 1 (RFC 9000).
pub const V1: u32 = 0x0000_0001;
/// QUIC version 2 (RFC 9369).
pub const V2: u32 = 0x6b33_43cf;
/// Longest connection id of versions 1 and 2 (RFC 9000, 17.2).
pub const MAX_CID: u8 = 20;
/// Packets followed in one frame: those coalesced into a datagram
/// (RFC 9000, 12.2) and those of further segments.
pub const MAX_PACKETS: u32 = 16;

/// Kind of a packet. The discriminant indexes counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Initial, with the first CRYPTO frames.
    Initial = 0,
    /// 0-RTT.
    ZeroRtt = 1,
    /// Handshake.
    Handshake = 2,
    /// Retry.
    Retry = 3,
    /// Version negotiation.
    VersionNegotiation = 4,
    /// Short header (1-RTT).
    Short = 5,
    /// A long header of a version not known here, or one cut short.
    Other = 6,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 7;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Initial,
        Self::ZeroRtt,
        Self::Handshake,
        Self::Retry,
        Self::VersionNegotiation,
        Self::Short,
        Self::Other,
    ];

    /// The metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::ZeroRtt => "0rtt",
            Self::Handshake => "handshake",
            Self::Retry => "retry",
            Self::VersionNegotiation => "version_negotiation",
            Self::Short => "short",
            Self::Other => "other",
        }
    }
}

/// The part of a packet's header that needs no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind of packet: a [`Kind`] as a number, as it comes from the kernel's
    /// side of a function boundary.
    pub kind: u32,
    /// Version of a long header, 0 for version negotiation and short headers.
    pub version: u32,
    /// Length of the destination connection id of a long header, if it is
    /// there at all.
    pub dcid_len: u8,
    /// Length of the source connection id of a long header, likewise.
    pub scid_len: u8,
    /// The spin bit of a short header.
    pub spin: bool,
}

impl Header {
    /// Whether the version's packet layout is known here.
    #[inline(always)]
    pub const fn known_version(&self) -> bool {
        self.version == V1 || self.version == V2
    }

    /// No QUIC packet at all.
    pub const NONE: Self = Self {
        kind: 7,
        version: 0,
        dcid_len: 0,
        scid_len: 0,
        spin: false,
    };

    /// A short header.
    #[inline(always)]
    pub const fn short(spin: bool) -> Self {
        Self {
            kind: Kind::Short as u32,
            spin,
            ..Self::NONE
        }
    }

    /// Whether there is a QUIC packet.
    #[inline(always)]
    pub const fn is_quic(&self) -> bool {
        self.kind != Self::NONE.kind
    }

    /// Whether the packet is of this kind.
    #[inline(always)]
    pub const fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u32
    }

    /// Whether this is a long header.
    #[inline(always)]
    pub const fn is_long(&self) -> bool {
        self.is_quic() && !self.is(Kind::Short)
    }

    /// The header in one word, to cross a function boundary of the kernel's.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        (self.version as u64) << 32
            | (self.dcid_len as u64) << 16
            | (self.scid_len as u64) << 8
            | (self.spin as u64) << 3
            | self.kind as u64
    }

    /// The header from its word.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            kind: bits as u32 & 7,
            version: (bits >> 32) as u32,
            dcid_len: (bits >> 16) as u8,
            scid_len: (bits >> 8) as u8,
            spin: bits & 8 != 0,
        }
    }
}

/// Reads the header of the packet at `at` in a datagram that ends at `end`;
/// [`Header::NONE`] where the datagram is empty. The fixed bit is never looked
/// at: it may be greased (RFC 9287).
#[inline(always)]
pub fn header<B: Bytes + ?Sized>(bytes: &B, at: usize, end: usize) -> Header {
    if at >= end {
        return Header::NONE;
    }
    match bytes.u8(at) {
        None => Header::NONE,
        Some(first) if first & 0x80 == 0 => Header::short(first & 0x20 != 0),
        Some(_) => Header::from_bits(bytes.long_header(at, end)),
    }
}

/// Reads a long header.
#[inline(always)]
pub fn long_header<B: Bytes + ?Sized>(bytes: &B, at: usize, end: usize) -> Header {
    let mut header = Header {
        kind: Kind::Other as u32,
        version: u32::MAX,
        dcid_len: 0,
        scid_len: 0,
        spin: false,
    };
    if at + 5 > end {
        return header;
    }
    let (Some(first), Some(version)) = (bytes.u8(at), bytes.u32(at + 1)) else {
        return header;
    };
    header.version = version;
    header.kind = match version {
        0 => Kind::VersionNegotiation as u32,
        V1 | V2 => numbered(first, version),
        _ => Kind::Other as u32,
    };
    (header.dcid_len, header.scid_len) = connection_id_lengths(bytes, at, end);
    header
}

/// Kind of a long header of a known version: its number in version 1; in
/// version 2 each is one higher (RFC 9369, 3.2).
#[inline(always)]
fn numbered(first: u8, version: u32) -> u32 {
    let bits = (first >> 4) as u32;
    if version == V2 {
        bits.wrapping_sub(1) & 3
    } else {
        bits & 3
    }
}

#[inline(always)]
fn connection_id_lengths<B: Bytes + ?Sized>(bytes: &B, at: usize, end: usize) -> (u8, u8) {
    if at + 6 > end {
        return (0, 0);
    }
    let dcid = bytes.u8(at + 5).unwrap_or(0);
    let scid_at = at + 6 + dcid as usize;
    if scid_at >= end {
        return (dcid, 0);
    }
    (dcid, bytes.u8(scid_at).unwrap_or(0))
}

/// A short fingerprint of the client's own connection id: the source id of
/// what it sends, the destination id of what it is sent. 0 where it has none.
#[inline(always)]
pub fn client_id<B: Bytes + ?Sized>(bytes: &B, at: usize, header: &Header, inbound: bool) -> u32 {
    let (start, len) = if inbound {
        (at + 7 + header.dcid_len as usize, header.scid_len)
    } else {
        (at + 6, header.dcid_len)
    };
    let word = match len {
        0 => return 0,
        1..=3 => bytes.u8(start).map(u32::from),
        _ => bytes.word(start),
    };
    // Never 0: that means "no id".
    word.unwrap_or(0) | 1
}

/// A short fingerprint of the server's connection id, likewise: what it is sent
/// to, and the source id of its own long headers. 0 where it has none, or one
/// below 4 bytes.
#[inline(always)]
pub fn server_id<B: Bytes + ?Sized>(bytes: &B, at: usize, header: &Header, inbound: bool) -> u32 {
    let (start, len) = match (inbound, header.is_long()) {
        (true, true) => (at + 6, header.dcid_len),
        (true, false) => (at + 1, 4),
        (false, true) => (at + 7 + header.dcid_len as usize, header.scid_len),
        (false, false) => return 0,
    };
    if len < 4 {
        return 0;
    }
    bytes.word(start).unwrap_or(0) | 1
}

/// The packets of one frame: how many of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Census(u64);

impl Census {
    const BITS: u32 = 8;

    /// A frame of `segments` short-header packets.
    #[inline(always)]
    pub const fn short(segments: u32) -> Self {
        Self((segments as u64 & 0xff) << (Kind::Short as u32 * Self::BITS))
    }

    /// The packed form, to cross a function boundary of the kernel's.
    #[inline(always)]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the packed form.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Packets of this kind.
    #[inline(always)]
    pub const fn count(self, kind: u32) -> u64 {
        (self.0 >> (kind * Self::BITS)) & 0xff
    }
}

/// Counts the packets of the `len` payload bytes at `at`: coalesced ones, and
/// those of each segment of `segment` bytes (0: one datagram).
#[inline(always)]
pub fn census<B: Bytes + ?Sized>(bytes: &B, at: usize, len: usize, segment: usize) -> Census {
    let end = at + len;
    let segment = if segment == 0 { len } else { segment };
    let mut census = Census::default();
    let mut at = at;
    let mut segment_end = at + segment;
    for _ in 0..MAX_PACKETS {
        if at >= end {
            break;
        }
        let datagram_end = if segment_end < end { segment_end } else { end };
        let step = bytes.quic_step(at, datagram_end);
        census.0 += 1 << ((step & 7) as u32 * Census::BITS);
        at += (step >> 3) as usize;
        if at >= datagram_end {
            at = datagram_end;
            segment_end += segment;
        }
    }
    census
}

/// One step of [`census`]: the packet at `at` in a datagram that ends at
/// `end`. Its kind in the lowest three bits, above them its length.
#[inline(always)]
pub fn step<B: Bytes + ?Sized>(bytes: &B, at: usize, end: usize) -> u64 {
    let rest = end - at;
    let (kind, len) = match bytes.u8(at) {
        Some(first) if first & 0x80 == 0 => (Kind::Short as u32, rest),
        Some(first) => long_step(bytes, first, at, rest).unwrap_or((Kind::Other as u32, rest)),
        None => (Kind::Other as u32, rest),
    };
    (len as u64) << 3 | kind as u64
}

/// Initial, 0-RTT and Handshake of a known version carry their own length;
/// all others fill their datagram.
#[inline(always)]
fn long_step<B: Bytes + ?Sized>(
    bytes: &B,
    first: u8,
    at: usize,
    rest: usize,
) -> Option<(u32, usize)> {
    let version = bytes.u32(at + 1)?;
    if version == 0 {
        return Some((Kind::VersionNegotiation as u32, rest));
    }
    if version != V1 && version != V2 {
        return None;
    }
    let kind = numbered(first, version);
    if kind == Kind::Retry as u32 {
        return Some((kind, rest));
    }
    let dcid = bytes.u8(at + 5)? as usize;
    let scid = bytes.u8(at + 6 + dcid)? as usize;
    let mut len = 7 + dcid + scid;
    if kind == Kind::Initial as u32 {
        len += varint_sum(bytes.u32(at + len)?);
    }
    len += varint_sum(bytes.u32(at + len)?);
    // A zero byte behind a packet is a datagram's padding, not a packet.
    let coalesced = len < rest && bytes.u8(at + len)? != 0;
    Some((kind, if coalesced { len } else { rest }))
}

/// The variable-length integer (RFC 9000, 16) at the head of `word`, plus its
/// own size. Without a branch; one of eight bytes counts as a very large one.
#[inline(always)]
fn varint_sum(word: u32) -> usize {
    let class = word >> 30;
    let size = 1 << class;
    let unused = 32_u32.saturating_sub(8 * size);
    (((word & 0x3fff_ffff) >> unused) + size) as usize
}
