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
    /// Kind of packet.
    pub kind: Kind,
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

    /// Whether this is a long header.
    #[inline(always)]
    pub fn is_long(&self) -> bool {
        !matches!(self.kind, Kind::Short)
    }
}

/// Reads the header of the packet at `at` in a datagram that ends at `end`.
/// `None`: the datagram is empty there. The fixed bit is never looked at: it
/// may be greased (RFC 9287).
#[inline(always)]
pub fn header<B: Bytes + ?Sized>(bytes: &B, at: usize, end: usize) -> Option<Header> {
    if at >= end {
        return None;
    }
    let first = bytes.u8(at)?;
    if first & 0x80 == 0 {
        let spin = first & 0x20 != 0;
        return Some(Header {
            kind: Kind::Short,
            version: 0,
            dcid_len: 0,
            scid_len: 0,
            spin,
        });
    }
    let cut = Header {
        kind: Kind::Other,
        version: u32::MAX,
        dcid_len: 0,
        scid_len: 0,
        spin: false,
    };
    if at + 5 > end {
        return Some(cut);
    }
    let Some(version) = bytes.u32(at + 1) else {
        return Some(cut);
    };
    let (dcid_len, scid_len) = connection_id_lengths(bytes, at, end);
    Some(Header {
        kind: long_kind(first, version),
        version,
        dcid_len,
        scid_len,
        spin: false,
    })
}

/// Packet numbers of the types differ between versions (RFC 9369, 3.2).
#[inline(always)]
fn long_kind(first: u8, version: u32) -> Kind {
    let bits = (first >> 4) & 3;
    match version {
        0 => Kind::VersionNegotiation,
        V1 => numbered(bits),
        V2 => numbered(bits.wrapping_sub(1) & 3),
        _ => Kind::Other,
    }
}

#[inline(always)]
fn numbered(bits: u8) -> Kind {
    match bits {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
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

    #[inline(always)]
    fn add(&mut self, kind: Kind) {
        self.0 += 1 << (kind as u32 * Self::BITS);
    }
}

/// Counts the packets of the `len` payload bytes at `at`: coalesced ones, and
/// those of each segment of `segment` bytes (0: one datagram).
#[inline(always)]
pub fn census<B: Bytes + ?Sized>(bytes: &B, at: usize, len: usize, segment: usize) -> Census {
    let end = at + len;
    let mut census = Census::default();
    let mut segment_end = if segment == 0 || segment > len {
        end
    } else {
        at + segment
    };
    let mut at = at;
    for _ in 0..MAX_PACKETS {
        let Some(header) = header(bytes, at, segment_end) else {
            break;
        };
        census.add(header.kind);
        at = match packet_end(bytes, at, &header) {
            // A zero byte behind a packet is a datagram's padding, not a packet.
            Some(next) if next < segment_end && bytes.u8(next) != Some(0) => next,
            _ => {
                let next = segment_end;
                segment_end = if segment_end + segment > end {
                    end
                } else {
                    segment_end + segment
                };
                next
            }
        };
    }
    census
}

/// End of a packet that carries its own length: Initial, 0-RTT, Handshake of
/// a known version. All others fill their datagram.
#[inline(always)]
fn packet_end<B: Bytes + ?Sized>(bytes: &B, at: usize, header: &Header) -> Option<usize> {
    if !matches!(header.kind, Kind::Initial | Kind::ZeroRtt | Kind::Handshake) {
        return None;
    }
    let mut at = at + 7 + header.dcid_len as usize + header.scid_len as usize;
    if matches!(header.kind, Kind::Initial) {
        let (token, size) = varint(bytes, at)?;
        at += size + token;
    }
    let (length, size) = varint(bytes, at)?;
    Some(at + size + length)
}

/// A variable-length integer (RFC 9000, 16) below 2^30, and its own size.
#[inline(always)]
fn varint<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Option<(usize, usize)> {
    let first = bytes.u8(at)?;
    match first >> 6 {
        0 => Some((first as usize, 1)),
        1 => Some(((bytes.u16(at)? & 0x3fff) as usize, 2)),
        2 => Some(((bytes.u32(at)? & 0x3fff_ffff) as usize, 4)),
        _ => None,
    }
}
