//! What is known of a flow, and what one more packet adds to it.

use crate::quic::{Census, Header, Kind};
use crate::spin::Spin;

/// Which way a packet goes, seen from the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Direction {
    /// To the endpoint.
    In = 0,
    /// From the endpoint.
    Out = 1,
}

/// State of a flow, as [`Flow::state`] holds it.
pub mod state {
    /// A packet passed; nothing is known of a connection.
    pub const SEEN: u32 = 0;
    /// A client Initial passed.
    pub const HANDSHAKING: u32 = 1;
    /// A short header was seen both ways (QUIC), or any packet (UDP).
    pub const ESTABLISHED: u32 = 2;
    /// Reserved: whether a flow is idle follows from [`Flow::last_seen`].
    pub const IDLE: u32 = 3;
}

/// Bits of [`Flow::flags`].
pub mod flag {
    /// The endpoint has answered.
    pub const ANSWERED: u32 = 1;
    /// A short header came in.
    pub const SHORT_IN: u32 = 2;
    /// A short header went out.
    pub const SHORT_OUT: u32 = 4;
    /// A connection was opened and is not established yet.
    pub const OPENING: u32 = 8;
    /// The endpoint has answered the connection that is opening.
    pub const OPENING_ANSWERED: u32 = 16;
    /// The spin bit of the last short header that came in.
    pub const SPIN_IN: u32 = 32;
    /// The spin bits that go out are those that came in; else the opposite.
    pub const SPIN_SAME: u32 = 64;
    /// It is a front end's, tracked for the guard alone.
    pub const FRONT_END: u32 = 128;
    /// From this bit on: how far the spin bits that go out follow those that come in.
    pub const FOLLOWS: u32 = 24;
}

/// Spin bits that must follow before what goes out is no reset. Random bits drift back to 0, and get
/// this far about once in 10^9 tries.
const FOLLOWED: u32 = 32;
/// What one that does not follow costs: a few are late by as much as waits at the endpoint.
const ASTRAY: u32 = 4;

/// Silence after which a further Initial of an established flow may begin a
/// handshake that is measured: before that, the packets of several connections
/// at once could not be told apart. Nanoseconds.
const REOPEN_AFTER: u64 = 1_000_000_000;

/// A flow: the value of the flow table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Id of the endpoint; a flow found with another endpoint starts over.
    pub endpoint: u32,
    /// One of [`state`].
    pub state: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// QUIC version of the last long header, 0 if none was seen.
    pub version: u32,
    /// Fingerprint of the client's connection id, 0 if it has none.
    pub client_id: u32,
    /// Fingerprint of the server's connection id, 0 if it has none or is not known.
    pub server_id: u32,
    /// Longest datagram with a short header that came in, bytes of UDP payload.
    pub longest_in: u32,
    /// Explicit padding.
    pub pad: u32,
    /// First packet, ns of the coarse clock.
    pub first_seen: u64,
    /// Last packet, ns of the coarse clock.
    pub last_seen: u64,
    /// The client Initial that opened the connection, ns of the fine clock;
    /// 0 once the handshake is measured, or where it can't be.
    pub initial_at: u64,
    /// Until when steering may take the flow past the kernel; coarse ns.
    pub admitted_until: u64,
    /// Packets in and out.
    pub packets: [u64; 2],
    /// Bytes of UDP payload in and out.
    pub bytes: [u64; 2],
    /// Spin bits.
    pub spin: Spin,
}

/// One packet, or one offloaded train of them, as a flow sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Which way it goes.
    pub direction: Direction,
    /// Coarse clock, ns.
    pub now: u64,
    /// Whether the endpoint speaks QUIC.
    pub quic: bool,
    /// Header of its first packet.
    pub header: Header,
    /// Fingerprint of the client's connection id, of a long header.
    pub client_id: u32,
    /// Fingerprint of the server's connection id, where the packet has it.
    pub server_id: u32,
    /// Bytes of UDP payload, of the first segment if there are several.
    pub len: u32,
    /// All its packets by kind.
    pub census: Census,
}

/// What the packet meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It opened a connection.
    pub opened: bool,
    /// It established one.
    pub established: bool,
    /// It ended a handshake that took this long; ns, 0: it did not.
    pub handshake: u64,
    /// It gave a round-trip time; ns, 0: it did not.
    pub rtt: u64,
}

impl Flow {
    /// A flow that begins with a packet seen at `now`.
    #[inline(always)]
    pub fn begin(endpoint: u32, now: u64) -> Self {
        Self {
            endpoint,
            first_seen: now,
            last_seen: now,
            ..Self::default()
        }
    }

    /// Opens a connection by the Initial of a client with this id, at `at` of
    /// the fine clock; 0: its handshake can't be measured.
    #[inline(always)]
    pub fn open(&mut self, client_id: u32, at: u64) {
        (self.client_id, self.server_id) = (client_id, 0);
        self.flags = (self.flags & !flag::OPENING_ANSWERED) | flag::OPENING;
        self.initial_at = at;
        if !self.established() {
            self.state = state::HANDSHAKING;
            self.flags &= !(flag::SHORT_IN | flag::SHORT_OUT);
        }
    }

    /// Whether its packets are free of the unestablished budgets.
    #[inline(always)]
    pub const fn established(&self) -> bool {
        self.state >= state::ESTABLISHED
    }

    /// Takes in one packet. `clock` is the fine clock, ns; it is read only
    /// when a handshake begins or ends and when a spin bit flips.
    #[inline(always)]
    pub fn observe(&mut self, seen: &Seen, clock: impl Fn() -> u64) -> Outcome {
        let mut outcome = Outcome::default();
        let before = self.last_seen;
        self.last_seen = seen.now;
        if self.state == state::IDLE {
            self.state = state::ESTABLISHED;
        }
        if matches!(seen.direction, Direction::Out) {
            self.flags |= flag::ANSWERED;
        }
        let header = seen.header;
        if !seen.quic {
            if self.flags & flag::ANSWERED != 0 {
                self.state = state::ESTABLISHED;
            }
            return outcome;
        }
        if header.is_long() {
            self.long(seen, &header, before, &clock, &mut outcome);
        } else if header.is_quic() {
            outcome.rtt = self.spin.observe(seen.direction, header.spin, &clock);
        }
        if seen.census.count(Kind::Short as u32) != 0 {
            self.short(seen, &clock, &mut outcome);
        }
        outcome
    }

    #[inline(always)]
    fn long(
        &mut self,
        seen: &Seen,
        header: &Header,
        before: u64,
        clock: &impl Fn() -> u64,
        outcome: &mut Outcome,
    ) {
        if header.known_version() {
            self.version = header.version;
        }
        match seen.direction {
            Direction::Out if seen.client_id == self.client_id => {
                self.flags |= flag::OPENING_ANSWERED;
                if header.known_version() {
                    self.server_id = seen.server_id;
                }
            }
            Direction::In if header.is(Kind::Initial) => {
                let silent = seen.now.wrapping_sub(before) > REOPEN_AFTER;
                self.initial(seen.client_id, silent, clock, outcome);
            }
            _ => {}
        }
    }

    /// A client Initial: the first of a connection, or one more of the same.
    #[inline(always)]
    fn initial(
        &mut self,
        client_id: u32,
        silent: bool,
        clock: &impl Fn() -> u64,
        outcome: &mut Outcome,
    ) {
        let fresh = self.state == state::SEEN;
        if !fresh && client_id == self.client_id {
            return;
        }
        outcome.opened = true;
        let measurable = silent || !self.established();
        self.open(client_id, if measurable { clock() } else { 0 });
    }

    #[inline(always)]
    fn short(&mut self, seen: &Seen, clock: &impl Fn() -> u64, outcome: &mut Outcome) {
        if matches!(seen.direction, Direction::Out) {
            self.short_out(seen);
        } else if self.is_client(seen) {
            self.flags |= flag::SHORT_IN;
            if self.state == state::SEEN {
                let spin = if seen.header.spin { flag::SPIN_IN } else { 0 };
                self.flags = self.flags & !flag::SPIN_IN | spin;
            }
            if seen.len > self.longest_in {
                self.longest_in = seen.len;
            }
            if self.initial_at != 0 && self.flags & flag::OPENING_ANSWERED != 0 {
                outcome.handshake = clock().wrapping_sub(self.initial_at);
                self.initial_at = 0;
            }
        }
        let both = flag::SHORT_IN | flag::SHORT_OUT;
        if self.flags & both != both {
            return;
        }
        self.state = state::ESTABLISHED;
        let opening = flag::OPENING | flag::OPENING_ANSWERED;
        if self.flags & opening == opening {
            self.flags &= !opening;
            outcome.established = true;
        }
    }

    /// A server may send short headers before it has heard from its client again
    /// (0.5-RTT), so what comes in must show that the client is there: by the
    /// connection id that the server chose, which only who gets its answers can
    /// know, or because the server has sent more than three times of what it got
    /// and so has validated the address (RFC 9000, 8.1).
    #[inline(always)]
    fn is_client(&self, seen: &Seen) -> bool {
        if self.state != state::HANDSHAKING {
            return true;
        }
        let known = self.flags & flag::OPENING_ANSWERED != 0;
        let ours = self.server_id == 0 || self.server_id == seen.server_id;
        (known && ours) || self.bytes[1] > 3 * self.bytes[0]
    }

    /// Without an Initial (a migration, an agent that came later) a short header
    /// going out may be a stateless reset, which anyone can provoke and which
    /// looks the same. But a reset is always shorter than what provoked it
    /// (RFC 9000, 10.3.3), so one as long as anything that came in is none; and
    /// its spin bit is random, so where that bit follows the client's, it is
    /// none either. A server that only acknowledges sends nothing long.
    #[inline(always)]
    fn short_out(&mut self, seen: &Seen) {
        if self.state != state::SEEN || seen.len >= self.longest_in || self.follows(seen) {
            self.flags |= flag::SHORT_OUT;
        }
    }

    /// Whether the spin bits have followed for long enough: the same as the
    /// client's, or always the opposite, as where one side's never changes.
    #[inline(always)]
    fn follows(&mut self, seen: &Seen) -> bool {
        let came = self.flags & flag::SPIN_IN != 0;
        let as_before = (seen.header.spin == came) == (self.flags & flag::SPIN_SAME != 0);
        let follows = self.flags >> flag::FOLLOWS;
        let follows = if as_before {
            follows + 1
        } else if follows < ASTRAY {
            self.flags ^= flag::SPIN_SAME;
            0
        } else {
            follows - ASTRAY
        };
        self.flags = self.flags & !(u32::MAX << flag::FOLLOWS) | follows << flag::FOLLOWS;
        follows >= FOLLOWED
    }
}
