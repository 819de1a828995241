//! Round-trip time from the spin bit (RFC 9000, 17.4; RFC 9312, 3.8.2).
//!
//! The client sends the opposite of what it last saw from the server, the
//! server echoes the client, so the bit of either direction flips once a round
//! trip. An edge counts only if the other direction explains it: that rejects
//! most reordered packets. Peers that do not spin but send random bits (as
//! RFC 9000 tells them to) flip unexplained or at uneven times, and give no
//! sample instead of an invented one.

use crate::flow::Direction;

/// Packets that fit a spinning flow, less [`PENALTY`] for each that does not,
/// before samples are believed. Random bits drift downwards and practically
/// never get there; packets that come late are too few to matter.
const BELIEVED: u8 = 48;
const MOST: u8 = 64;
const PENALTY: u8 = 16;

/// What is remembered of a flow's spin bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Spin {
    /// When each direction last flipped, ns of the fine clock; 0: not yet.
    pub edge_at: [u64; 2],
    /// The last accepted sample, ns.
    pub last: u32,
    /// Bit 0 and 1: the current value of each direction; 2 and 3: is it known.
    pub bits: u8,
    /// How far the peers are believed to spin.
    pub belief: u8,
    /// Explicit padding.
    pub pad: [u8; 2],
}

impl Spin {
    /// Takes the spin bit of one packet. `clock` is read on an edge only.
    /// Returns a round-trip time in ns where the edge gives one, else 0.
    #[inline(always)]
    pub fn observe(
        &mut self,
        direction: Direction,
        value: bool,
        clock: impl FnOnce() -> u64,
    ) -> u64 {
        let (mine, known) = (1u8 << direction as u32, 4u8 << direction as u32);
        let theirs = mine ^ 3;
        if self.bits & known == 0 {
            self.bits |= known | if value { mine } else { 0 };
            return 0;
        }
        if (self.bits & mine != 0) == value {
            self.trust();
            return 0;
        }
        let other_known = self.bits & (known ^ 12) != 0;
        let other = self.bits & theirs != 0;
        let explained = match direction {
            Direction::In => value != other,
            Direction::Out => value == other,
        };
        if !other_known || !explained {
            self.doubt();
            return 0;
        }
        self.edge(direction, mine, clock())
    }

    #[inline(always)]
    fn edge(&mut self, direction: Direction, mine: u8, now: u64) -> u64 {
        let before = match direction {
            Direction::In => self.edge_at[0],
            Direction::Out => self.edge_at[1],
        };
        let sample = now.wrapping_sub(before);
        // A packet that overtook others flips the bit early, and back again:
        // such an edge comes long before the round trip is over.
        if before != 0 && sample < (self.last / 4) as u64 {
            self.last -= self.last / 8;
            self.doubt();
            return 0;
        }
        self.bits ^= mine;
        match direction {
            Direction::In => self.edge_at[0] = now,
            Direction::Out => self.edge_at[1] = now,
        }
        if before == 0 {
            return 0;
        }
        let last = self.last as u64;
        self.last = if sample > u32::MAX as u64 {
            u32::MAX
        } else {
            sample as u32
        };
        if last != 0 && !steady(sample, last) {
            self.doubt();
            return 0;
        }
        self.trust();
        if self.belief < BELIEVED { 0 } else { sample }
    }

    #[inline(always)]
    fn trust(&mut self) {
        if self.belief < MOST {
            self.belief += 1;
        }
    }

    #[inline(always)]
    fn doubt(&mut self) {
        self.belief = self.belief.saturating_sub(PENALTY);
    }
}

/// Whether two samples in a row may be of one path. One random peer flips after
/// one, two, three of its packets, so most of its samples are not: the next is
/// twice as long, or half.
#[inline(always)]
const fn steady(sample: u64, last: u64) -> bool {
    sample * 8 >= last * 5 && sample * 8 <= last * 13
}
