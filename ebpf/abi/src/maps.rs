//! Keys and values of every map: integers in `repr(C)` with explicit padding,
//! their sizes asserted.

use crate::flow::Flow;
use crate::histogram::{SIZE_BUCKETS, TIME_BUCKETS};
use crate::parse::{Addr, Unparsed};
use crate::quic::Kind;

/// Most transports on one node.
pub const TRANSPORTS: u32 = 256;
/// Most endpoints on one node; also the number of counter slots.
pub const ENDPOINTS: u32 = 1024;
/// Most CIDRs of one address family on one node.
pub const CIDRS: u32 = 65_536;
/// Flows remembered, unless the agent is told otherwise.
pub const FLOWS: u32 = 65_536;
/// Initials remembered until an endpoint on the uplink answers them.
pub const OPENINGS: u32 = 8_192;
/// Node addresses.
pub const NODES: u32 = 32_768;

/// Where on its way a packet was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// The uplink: XDP or TCX.
    Uplink = 0,
    /// The host side of the pod's interface.
    Pod = 1,
}

impl Hook {
    /// Number of hooks.
    pub const COUNT: usize = 2;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [Self::Uplink, Self::Pod];

    /// The metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::Pod => "pod",
        }
    }
}

/// Key of the endpoint table: an address and UDP port of a selected pod, or of a
/// front end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct EndpointKey {
    /// Address; IPv4 mapped.
    pub addr: Addr,
    /// UDP port.
    pub port: u32,
}

/// Bits of [`Endpoint::flags`].
pub mod endpoint_flag {
    /// The port speaks QUIC; otherwise plain UDP.
    pub const QUIC: u32 = 1;
    /// The endpoint is guarded and observed at the uplink: its pod has the
    /// host's network, or packets go past the host side of its interface. Of a
    /// front end: its flows are tracked there, for the guard alone, as no pod's
    /// hook sees them as they come.
    pub const UPLINK: u32 = 2;
    /// The uplink leaves it to the pod's hook: its transport wants no XDP.
    pub const POD_ALONE: u32 = 4;
    /// It has a relay, and behind that a socket: what its flows were admitted
    /// for goes there. Of a front end: some endpoint behind it has.
    pub const STEERED: u32 = 8;
    /// Packets with this destination are still to be sent on to an endpoint of
    /// the transport. They are judged here and counted there.
    pub const FRONT_END: u32 = 16;
}

/// An endpoint, or a front end that leads to some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// Index of its transport's policy.
    pub transport: u32,
    /// Its own id, unique among the entries of now; index of [`Activity`].
    pub id: u32,
    /// Slot of its counters: its transport's, or its own.
    pub slot: u32,
    /// Bits of [`endpoint_flag`].
    pub flags: u32,
    /// Fingerprint of the pod it belongs to, for the agent to know it again; 0
    /// for a front end.
    pub owner: u64,
    /// Port that its flows are known by: its own, or that of the endpoints
    /// behind a front end.
    pub port: u32,
    /// Explicit padding.
    pub pad: u32,
}

impl Endpoint {
    /// Whether a flow of its transport and port is one of its own: a front end
    /// leads to whichever endpoint the flow names.
    #[inline(always)]
    pub const fn has_flow(&self, flow: &Flow) -> bool {
        flow.endpoint == self.id || self.is_front_end()
    }

    /// Whether it is observed at this hook: each direction of each endpoint is,
    /// at exactly one, and a front end at the uplink or at none.
    #[inline(always)]
    pub const fn lives_at(&self, hook: Hook) -> bool {
        match hook {
            Hook::Uplink => self.flags & endpoint_flag::UPLINK != 0,
            Hook::Pod => self.flags & (endpoint_flag::UPLINK | endpoint_flag::FRONT_END) == 0,
        }
    }

    /// Whether it only leads to endpoints.
    #[inline(always)]
    pub const fn is_front_end(&self) -> bool {
        self.flags & endpoint_flag::FRONT_END != 0
    }
}

/// Both ends of every relay have this address (`02:s:t:o:q:r`): a relay leads
/// from one device to one other, and nobody else is on it.
pub const RELAY_MAC: [u8; 6] = [0x02, 0x73, 0x74, 0x6f, 0x71, 0x72];

/// [`Policy::mode`].
pub mod mode {
    /// No guard.
    pub const OFF: u32 = 0;
    /// Count what would be dropped.
    pub const MONITOR: u32 = 1;
    /// Drop.
    pub const ENFORCE: u32 = 2;
}

/// Bits of [`Policy::flags`].
pub mod policy_flag {
    /// Check what no correct client sends.
    pub const VALIDATE_INITIAL: u32 = 1;
    /// Drop versions other than 1 and 2.
    pub const REJECT_UNKNOWN_VERSIONS: u32 = 2;
    /// There are IPv4 CIDRs.
    pub const CIDR_V4: u32 = 4;
    /// There are IPv6 CIDRs.
    pub const CIDR_V6: u32 = 8;
    /// Only what a CIDR allows may pass.
    pub const ALLOW_LIST: u32 = 16;
}

/// What the guard is to check for a transport. Rates are held as the cost of
/// one packet, in sixteenths of a nanosecond (`16e9 / rate`); 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Policy {
    /// One of [`mode`].
    pub mode: u32,
    /// Bits of [`policy_flag`].
    pub flags: u32,
    /// Cost of a packet to its source.
    pub source_packet: u64,
    /// Cost of an Initial to its source.
    pub source_initial: u64,
    /// Cost of a packet of no established flow.
    pub unestablished_packet: u64,
    /// Cost of an Initial of no established flow.
    pub unestablished_initial: u64,
    /// Depth of every bucket, in the same unit of time.
    pub burst: u64,
    /// For how long the kernel's path lets a flow go past it, ns.
    pub readmit_after: u64,
    /// Which bits of an IPv4 address make a source; wire order.
    pub source_v4: u32,
    /// Explicit padding.
    pub pad: u32,
    /// Which bits of an IPv6 address make a source; wire order.
    pub source_v6: Addr,
}

impl Policy {
    /// Whether a source may be more than one address.
    #[inline(always)]
    pub const fn has_wide_sources(&self, v6: bool) -> bool {
        if v6 {
            let [a, b, c, d] = self.source_v6;
            a & b & c & d != u32::MAX
        } else {
            self.source_v4 != u32::MAX
        }
    }
}

/// Two token buckets as theoretical arrival times (the generic cell rate
/// algorithm, ITU-T I.371, A): a bucket is full while its time is past. One
/// addition charges it, so many CPUs can without a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Buckets {
    /// All packets; sixteenths of a nanosecond of the tick clock.
    pub packets: u64,
    /// Initials; likewise.
    pub initials: u64,
}

impl Buckets {
    /// When both are full again.
    #[inline(always)]
    pub const fn latest(&self) -> u64 {
        if self.packets > self.initials {
            self.packets
        } else {
            self.initials
        }
    }
}

/// Key of the unestablished budgets' array: on its own cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Budget {
    /// The buckets all sources of a transport share at one hook.
    pub buckets: Buckets,
    /// Explicit padding, to a cache line.
    pub pad: [u64; 6],
}

/// Index of a transport's budget at a hook.
#[inline(always)]
pub const fn budget_index(transport: u32, hook: Hook) -> u32 {
    transport * Hook::COUNT as u32 + hook as u32
}

/// Data of an IPv4 CIDR key; the prefix length counts the transport's 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CidrV4 {
    /// Transport.
    pub transport: u32,
    /// Address, wire order.
    pub addr: u32,
}

/// Data of an IPv6 CIDR key, likewise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CidrV6 {
    /// Transport.
    pub transport: u32,
    /// Address, wire order.
    pub addr: Addr,
}

/// Bits of a CIDR's value: what the most specific prefix of a source says,
/// with what wider prefixes say folded in by the agent.
pub mod cidr_flag {
    /// The source is denied.
    pub const DENY: u32 = 1;
    /// The source is allowed.
    pub const ALLOW: u32 = 2;
    /// The source stands for many clients: no per-source limit.
    pub const EXEMPT: u32 = 4;
}

/// Key of the flow table. The peer's side is the same before and after a
/// Service's address translation, so the uplink finds the flow of a packet
/// that is still addressed to a front end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// Transport.
    pub transport: u32,
    /// The peer's address.
    pub peer: Addr,
    /// The peer's port in the upper half, [`Endpoint::port`] in the lower.
    pub ports: u32,
}

/// A client Initial for an endpoint on the uplink, not answered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Opening {
    /// When it came, ns of the fine clock.
    pub at: u64,
    /// Fingerprint of the client's connection id.
    pub client_id: u32,
    /// Explicit padding.
    pub pad: u32,
}

/// How long a client's Initial waits for its answer: after that, it was one of
/// a connection that never came to be. Nanoseconds.
const ANSWERED_WITHIN: u64 = 10_000_000_000;

impl Opening {
    /// Whether a client of this id is still opening the connection at `now`.
    #[inline(always)]
    pub const fn is_of(&self, client_id: u32, now: u64) -> bool {
        self.client_id == client_id && now.wrapping_sub(self.at) < ANSWERED_WITHIN
    }
}

/// When an endpoint's packets were last seen at each place, ns of the coarse
/// clock. Tells where packets of a node's data plane really go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Activity {
    /// Passed the guard of the uplink.
    pub uplink_in: u64,
    /// Left by the uplink.
    pub uplink_out: u64,
    /// Came to the host side of the pod's interface.
    pub pod_in: u64,
    /// Left the pod.
    pub pod_out: u64,
    /// The same by the tick clock, which is cheaper to compare with.
    pub ticks: [u64; 4],
}

/// Events of connections that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// A client Initial began a connection.
    Opened = 0,
    /// Short headers were seen both ways.
    Established = 1,
}

/// Counters of one slot, one copy per CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Packets in and out that passed.
    pub packets: [u64; 2],
    /// Bytes of UDP payload in and out that passed.
    pub bytes: [u64; 2],
    /// Packets dropped, by hook and reason.
    pub dropped: [[u64; crate::guard::Reason::COUNT]; Hook::COUNT],
    /// Packets `Monitor` would have dropped, likewise.
    pub would_drop: [[u64; crate::guard::Reason::COUNT]; Hook::COUNT],
    /// QUIC packets by kind.
    pub kinds: [u64; Kind::COUNT],
    /// Connection events, by [`Event`].
    pub events: [u64; 2],
    /// Flows that began.
    pub flows: u64,
}

/// Histograms of one slot, one copy per CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Histograms {
    /// Datagrams by size in bytes.
    pub size: [u64; SIZE_BUCKETS],
    /// Handshakes by duration in microseconds.
    pub handshake: [u64; TIME_BUCKETS],
    /// Round trips by duration in microseconds.
    pub rtt: [u64; TIME_BUCKETS],
    /// Sum of all handshakes, microseconds.
    pub handshake_sum: u64,
    /// Sum of all round trips, microseconds.
    pub rtt_sum: u64,
}

/// Packets that were left to the kernel unjudged, one copy per CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Unjudged {
    /// By hook and [`Unparsed`].
    pub unparsed: [[u64; Unparsed::COUNT]; Hook::COUNT],
}

/// Longest `namespace/name` of a transport.
pub const NAME_LEN: usize = 320;

/// Which transport an index stands for; kept with the maps so that a new agent
/// continues the old one's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TransportName {
    /// `namespace/name`, zero-padded; empty: the index is free.
    pub name: [u8; NAME_LEN],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets: [0; 2],
            bytes: [0; 2],
            dropped: [[0; crate::guard::Reason::COUNT]; Hook::COUNT],
            would_drop: [[0; crate::guard::Reason::COUNT]; Hook::COUNT],
            kinds: [0; Kind::COUNT],
            events: [0; 2],
            flows: 0,
        }
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            size: [0; SIZE_BUCKETS],
            handshake: [0; TIME_BUCKETS],
            rtt: [0; TIME_BUCKETS],
            handshake_sum: 0,
            rtt_sum: 0,
        }
    }
}

const _: () = {
    assert!(size_of::<EndpointKey>() == 20);
    assert!(size_of::<Endpoint>() == 32);
    assert!(size_of::<Policy>() == 80);
    assert!(size_of::<Buckets>() == 16);
    assert!(size_of::<Budget>() == 64);
    assert!(size_of::<CidrV4>() == 8);
    assert!(size_of::<CidrV6>() == 20);
    assert!(size_of::<FlowKey>() == 24);
    assert!(size_of::<Flow>() == 120);
    assert!(size_of::<Opening>() == 16);
    assert!(size_of::<Activity>() == 64);
    assert!(size_of::<TransportName>() == NAME_LEN);
};

#[cfg(feature = "user")]
mod pod {
    use super::*;

    macro_rules! pod {
        ($($value:ty),*) => { $(
            // SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
            unsafe impl aya::Pod for $value {}
        )* };
    }

    pod!(
        EndpointKey,
        Endpoint,
        Policy,
        Buckets,
        Budget,
        CidrV4,
        CidrV6,
        FlowKey,
        Flow,
        Opening,
        Activity,
        Counters,
        Histograms,
        Unjudged,
        TransportName
    );
}
