//! The guard: whether one packet for an endpoint may pass.
//!
//! One function, run at the uplink and at the pod's interface. What it knows of
//! flows, sources and budgets it asks for only when the policy needs it, since
//! every answer is a lookup in a map.

use crate::maps::{Buckets, Policy, cidr_flag, policy_flag};
use crate::quic::{Header, Kind, MAX_CID};

/// Smallest datagram that may begin with a client Initial (RFC 9000, 14.1).
pub const MIN_INITIAL: usize = 1200;
/// Shortest destination connection id a client may choose (RFC 9000, 7.2).
pub const MIN_FIRST_DCID: u8 = 8;

/// The guard's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it through.
    Pass,
    /// Drop it.
    Drop(Reason),
}

/// Why a packet is dropped. The discriminant indexes counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// A deny CIDR holds its source.
    Denied = 0,
    /// There are allow CIDRs and none holds its source.
    NotAllowed = 1,
    /// A client Initial in a datagram below 1200 bytes.
    ShortInitial = 2,
    /// A first Initial with a destination connection id below 8 bytes.
    ShortDcid = 3,
    /// A connection id above 20 bytes.
    LongCid = 4,
    /// A version that is not served.
    UnknownVersion = 5,
    /// Too many packets of its source.
    SourceRate = 6,
    /// Too many Initials of its source.
    SourceInitialRate = 7,
    /// Too many packets of no established flow.
    UnestablishedRate = 8,
    /// Too many Initials of no established flow.
    UnestablishedInitialRate = 9,
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = 10;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Denied,
        Self::NotAllowed,
        Self::ShortInitial,
        Self::ShortDcid,
        Self::LongCid,
        Self::UnknownVersion,
        Self::SourceRate,
        Self::SourceInitialRate,
        Self::UnestablishedRate,
        Self::UnestablishedInitialRate,
    ];

    /// The metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotAllowed => "not_allowed",
            Self::ShortInitial => "short_initial",
            Self::ShortDcid => "short_dcid",
            Self::LongCid => "long_cid",
            Self::UnknownVersion => "unknown_version",
            Self::SourceRate => "source_rate",
            Self::SourceInitialRate => "source_initial_rate",
            Self::UnestablishedRate => "unestablished_rate",
            Self::UnestablishedInitialRate => "unestablished_initial_rate",
        }
    }
}

/// The packet, as far as the guard cares.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Bytes of UDP payload, of the first segment if there are several.
    pub len: usize,
    /// Datagrams it stands for.
    pub segments: u32,
    /// Whether the source is IPv6.
    pub v6: bool,
    /// Header of its first QUIC packet; `None` for plain UDP and for an empty
    /// datagram.
    pub header: Option<Header>,
    /// Its source's address was replaced on the way by a node's: the node that
    /// received it has checked the source.
    pub masqueraded: bool,
}

/// What is known of the packet's flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// The endpoint has answered it.
    pub answered: bool,
    /// It is established: free of the unestablished budgets.
    pub established: bool,
}

/// The tables the guard reads and charges, for one packet.
pub trait Tables {
    /// The packet's flow.
    fn flow(&mut self) -> FlowState;
    /// What the CIDRs say of the source: bits of [`cidr_flag`].
    fn cidr(&mut self, v6: bool) -> u32;
    /// The source's buckets; full ones for a source not seen before.
    fn source(&mut self) -> Buckets;
    /// The buckets shared by all that is not established.
    fn unestablished(&mut self) -> Buckets;
    /// Charges the source, which [`Tables::source`] was asked for.
    fn charge_source(&mut self, charge: &Charge);
    /// Charges the shared buckets.
    fn charge_unestablished(&mut self, charge: &Charge);
}

/// What a packet costs its buckets, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// To the bucket of all packets.
    pub packets: u64,
    /// To the bucket of Initials.
    pub initials: u64,
    /// Coarse clock, sixteenths of a nanosecond.
    pub now: u64,
}

/// Decides on one packet. `now` is the coarse clock in ns. A packet that is
/// dropped costs nothing: buckets are charged for what passes.
#[inline(always)]
pub fn guard<T: Tables>(packet: &Packet, policy: &Policy, tables: &mut T, now: u64) -> Verdict {
    let now = now << 4;
    let exempt = match cidr(packet, policy, tables) {
        Ok(exempt) => exempt,
        Err(reason) => return Verdict::Drop(reason),
    };
    if let Some(header) = &packet.header
        && let Some(reason) = sanity(packet, header, policy, tables)
    {
        return Verdict::Drop(reason);
    }
    let initial = matches!(
        packet.header,
        Some(Header {
            kind: Kind::Initial,
            ..
        })
    );
    let by_source =
        policy.source_packet | policy.source_initial != 0 && !exempt && !packet.masqueraded;
    let source = charge(
        packet,
        initial,
        policy.source_packet,
        policy.source_initial,
        now,
    );
    if by_source {
        match over(&tables.source(), &source, policy.burst) {
            Over::Packets => return Verdict::Drop(Reason::SourceRate),
            Over::Initials => return Verdict::Drop(Reason::SourceInitialRate),
            Over::No => {}
        }
    }
    let limited = policy.unestablished_packet | policy.unestablished_initial != 0;
    if limited && !tables.flow().established {
        let shared = charge(
            packet,
            initial,
            policy.unestablished_packet,
            policy.unestablished_initial,
            now,
        );
        match over(&tables.unestablished(), &shared, policy.burst) {
            Over::Packets => return Verdict::Drop(Reason::UnestablishedRate),
            Over::Initials => return Verdict::Drop(Reason::UnestablishedInitialRate),
            Over::No => tables.charge_unestablished(&shared),
        }
    }
    if by_source {
        tables.charge_source(&source);
    }
    Verdict::Pass
}

/// Whether the CIDRs let the source in; `Ok(true)`: and exempt it from limits.
#[inline(always)]
fn cidr<T: Tables>(packet: &Packet, policy: &Policy, tables: &mut T) -> Result<bool, Reason> {
    let any = if packet.v6 {
        policy_flag::CIDR_V6
    } else {
        policy_flag::CIDR_V4
    };
    if packet.masqueraded || policy.flags & (any | policy_flag::ALLOW_LIST) == 0 {
        return Ok(false);
    }
    let says = if policy.flags & any == 0 {
        0
    } else {
        tables.cidr(packet.v6)
    };
    if says & cidr_flag::DENY != 0 {
        return Err(Reason::Denied);
    }
    if policy.flags & policy_flag::ALLOW_LIST != 0 && says & cidr_flag::ALLOW == 0 {
        return Err(Reason::NotAllowed);
    }
    Ok(says & cidr_flag::EXEMPT != 0)
}

/// What no correct client of RFC 9000 and RFC 9369 sends, and no more.
#[inline(always)]
fn sanity<T: Tables>(
    packet: &Packet,
    header: &Header,
    policy: &Policy,
    tables: &mut T,
) -> Option<Reason> {
    if !header.is_long() {
        return None;
    }
    if !header.known_version() {
        let reject = policy.flags & policy_flag::REJECT_UNKNOWN_VERSIONS != 0;
        return reject.then_some(Reason::UnknownVersion);
    }
    if policy.flags & policy_flag::VALIDATE_INITIAL == 0 {
        return None;
    }
    if matches!(header.kind, Kind::Initial) && packet.len < MIN_INITIAL {
        return Some(Reason::ShortInitial);
    }
    if header.dcid_len > MAX_CID || header.scid_len > MAX_CID {
        return Some(Reason::LongCid);
    }
    // Once the endpoint has answered, Initials carry the id of its choice.
    if matches!(header.kind, Kind::Initial)
        && header.dcid_len < MIN_FIRST_DCID
        && !tables.flow().answered
    {
        return Some(Reason::ShortDcid);
    }
    None
}

#[inline(always)]
fn charge(packet: &Packet, initial: bool, per_packet: u64, per_initial: u64, now: u64) -> Charge {
    Charge {
        packets: per_packet * packet.segments as u64,
        initials: if initial { per_initial } else { 0 },
        now,
    }
}

enum Over {
    No,
    Packets,
    Initials,
}

#[inline(always)]
fn over(buckets: &Buckets, charge: &Charge, burst: u64) -> Over {
    if !conforms(buckets.packets, charge.packets, charge.now, burst) {
        return Over::Packets;
    }
    if !conforms(buckets.initials, charge.initials, charge.now, burst) {
        return Over::Initials;
    }
    Over::No
}

/// A full bucket takes anything, so that a train of segments larger than the
/// bucket is not stuck for ever.
#[inline(always)]
fn conforms(bucket: u64, cost: u64, now: u64, burst: u64) -> bool {
    cost == 0 || bucket <= now || bucket + cost <= now + burst
}
