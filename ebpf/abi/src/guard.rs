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

/// The guard's decision, as a number so that it crosses the kernel's function
/// boundaries: 0 passes, anything else is a [`Reason`] plus one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verdict(u32);

impl Verdict {
    /// Let it through.
    pub const PASS: Self = Self(0);

    /// Drop it.
    #[inline(always)]
    pub const fn drop(reason: Reason) -> Self {
        Self(reason as u32 + 1)
    }

    /// Whether the packet may pass.
    #[inline(always)]
    pub const fn passes(self) -> bool {
        self.0 == 0
    }

    /// Number of the reason to drop it; meaningless if it passes.
    #[inline(always)]
    pub const fn reason_index(self) -> usize {
        self.0.wrapping_sub(1) as usize
    }

    /// Why it is dropped, if it is.
    pub fn reason(self) -> Option<Reason> {
        Reason::ALL.get(self.reason_index()).copied()
    }
}

impl core::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "Drop({reason:?})"),
            None => f.write_str("Pass"),
        }
    }
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
    /// Header of its first QUIC packet; [`Header::NONE`] for plain UDP and for
    /// an empty datagram.
    pub header: Header,
}

/// The tables the guard reads and charges, for one packet.
pub trait Tables {
    /// Whether the endpoint has answered the packet's flow.
    fn answered(&mut self) -> bool;
    /// Whether the flow is established: free of the unestablished budgets.
    fn established(&mut self) -> bool;
    /// What the CIDRs say of the source: bits of [`cidr_flag`].
    fn cidr(&mut self, v6: bool) -> u32;
    /// Whether the source's address may be one that a node put in its place: the
    /// node that received the packet has checked the source then. Asked only
    /// where it would be dropped for its source, or others pay for it.
    fn masqueraded(&mut self) -> bool;
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

/// What is said of a source besides a verdict: no per-source limits.
const EXEMPT: u32 = u32::MAX;

/// Decides on one packet. `now` is the coarse clock in ns. A packet that is
/// dropped costs nothing: buckets are charged for what passes.
#[inline(always)]
pub fn guard<T: Tables>(packet: &Packet, policy: &Policy, tables: &mut T, now: u64) -> Verdict {
    let now = now << 4;
    let mut says = cidr(packet, policy, tables);
    if says != Verdict::PASS.0 && says != EXEMPT {
        if !tables.masqueraded() {
            return Verdict(says);
        }
        says = EXEMPT;
    }
    let sane = sanity(packet, policy, tables);
    if !sane.passes() {
        return sane;
    }
    let initial = packet.header.is(Kind::Initial) as u32;
    let limited = policy.source_packet | policy.source_initial != 0;
    let mut by_source = limited && says != EXEMPT;
    let source = charge(
        packet,
        initial,
        policy.source_packet,
        policy.source_initial,
        now,
    );
    if by_source {
        let bucket = over(&tables.source(), &source, policy.burst);
        if bucket != 0 {
            if !tables.masqueraded() {
                return Verdict(Reason::SourceRate as u32 + bucket);
            }
            by_source = false;
        }
    }
    let bucket = unestablished(packet, initial, policy, tables, now);
    if bucket != 0 {
        return Verdict(Reason::UnestablishedRate as u32 + bucket);
    }
    // Others of a node's prefix must not pay for what it has masqueraded.
    if by_source && !(policy.has_wide_sources(packet.v6) && tables.masqueraded()) {
        tables.charge_source(&source);
    }
    Verdict::PASS
}

/// Whether the CIDRs let the source in: a verdict's number or [`EXEMPT`].
#[inline(always)]
fn cidr<T: Tables>(packet: &Packet, policy: &Policy, tables: &mut T) -> u32 {
    let any = if packet.v6 {
        policy_flag::CIDR_V6
    } else {
        policy_flag::CIDR_V4
    };
    if policy.flags & (any | policy_flag::ALLOW_LIST) == 0 {
        return Verdict::PASS.0;
    }
    let says = if policy.flags & any == 0 {
        0
    } else {
        tables.cidr(packet.v6)
    };
    if says & cidr_flag::DENY != 0 {
        return Verdict::drop(Reason::Denied).0;
    }
    if policy.flags & policy_flag::ALLOW_LIST != 0 && says & cidr_flag::ALLOW == 0 {
        return Verdict::drop(Reason::NotAllowed).0;
    }
    if says & cidr_flag::EXEMPT != 0 {
        EXEMPT
    } else {
        Verdict::PASS.0
    }
}

/// What no correct client of RFC 9000 and RFC 9369 sends, and no more.
#[inline(always)]
fn sanity<T: Tables>(packet: &Packet, policy: &Policy, tables: &mut T) -> Verdict {
    let header = &packet.header;
    if !header.is_long() {
        return Verdict::PASS;
    }
    if !header.known_version() {
        let reject = policy.flags & policy_flag::REJECT_UNKNOWN_VERSIONS != 0;
        return if reject {
            Verdict::drop(Reason::UnknownVersion)
        } else {
            Verdict::PASS
        };
    }
    if policy.flags & policy_flag::VALIDATE_INITIAL == 0 {
        return Verdict::PASS;
    }
    let initial = header.is(Kind::Initial);
    if initial && packet.len < MIN_INITIAL {
        return Verdict::drop(Reason::ShortInitial);
    }
    if header.dcid_len > MAX_CID || header.scid_len > MAX_CID {
        return Verdict::drop(Reason::LongCid);
    }
    // Once the endpoint has answered, Initials carry the id of its choice.
    if initial && header.dcid_len < MIN_FIRST_DCID && !tables.answered() {
        return Verdict::drop(Reason::ShortDcid);
    }
    Verdict::PASS
}

/// The budgets all sources share, charged if they hold; see [`over`].
#[inline(always)]
fn unestablished<T: Tables>(
    packet: &Packet,
    initial: u32,
    policy: &Policy,
    tables: &mut T,
    now: u64,
) -> u32 {
    let limited = policy.unestablished_packet | policy.unestablished_initial != 0;
    if !limited || tables.established() {
        return 0;
    }
    let charge = charge(
        packet,
        initial,
        policy.unestablished_packet,
        policy.unestablished_initial,
        now,
    );
    let over = over(&tables.unestablished(), &charge, policy.burst);
    if over == 0 {
        tables.charge_unestablished(&charge);
    }
    over
}

#[inline(always)]
fn charge(packet: &Packet, initial: u32, per_packet: u64, per_initial: u64, now: u64) -> Charge {
    Charge {
        packets: per_packet * packet.segments as u64,
        initials: per_initial * initial as u64 * packet.segments as u64,
        now,
    }
}

/// Which bucket does not hold the charge: 1 the packets', 2 the Initials', 0
/// none.
#[inline(always)]
fn over(buckets: &Buckets, charge: &Charge, burst: u64) -> u32 {
    if !conforms(buckets.packets, charge.packets, charge.now, burst) {
        return 1;
    }
    if !conforms(buckets.initials, charge.initials, charge.now, burst) {
        return 2;
    }
    0
}

/// A full bucket takes anything, so that a train of segments larger than the
/// bucket is not stuck for ever.
#[inline(always)]
fn conforms(bucket: u64, cost: u64, now: u64, burst: u64) -> bool {
    cost == 0 || bucket <= now || bucket + cost <= now + burst
}
