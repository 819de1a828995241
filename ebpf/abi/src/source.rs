//! The table of sources: where the buckets of one are found, in one cache line.
//!
//! A full bucket says as little as no bucket, so a source need be held only
//! while it owes something. The table has sets of two, and nothing in it is
//! ever removed: who comes takes the place of the one that owes less.

use crate::maps::{Buckets, Hook, TRANSPORTS};
use crate::parse::Addr;

/// Sets in the table: half a megabyte, which a CPU's cache can hold while a
/// flood asks for sources at random.
pub const SOURCE_SETS: u32 = 8192;
/// Sources that one set holds.
pub const WAYS: usize = 2;

/// Sets between those of one source for two budgets: it has one for each, so
/// that a set and an address in it tell the budget.
const STRIDE: u32 = SOURCE_SETS / (TRANSPORTS * Hook::COUNT as u32);

/// A source, and what it owes at one hook of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SourceKey {
    /// [`crate::maps::budget_index`] of transport and hook.
    pub budget: u32,
    /// The source's prefix.
    pub addr: Addr,
}

/// A source and its buckets; all zeros: nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Source {
    /// The source's prefix.
    pub addr: Addr,
    /// What it owes.
    pub buckets: Buckets,
}

/// The sources that share a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct SourceSet {
    /// In no order.
    pub ways: [Source; WAYS],
}

/// Sets whose debts stand in one line.
pub const SETS_PER_LINE: usize = 16;
/// Lines of debts.
pub const DEBT_LINES: u32 = SOURCE_SETS / SETS_PER_LINE as u32;

/// When all of a set's sources will have paid: a sixteenth of the sets' size, so that a flood from
/// sources nobody knows need not look at sets where nobody owes anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct DebtLine {
    /// By set; [`paid_at`], 0: nobody ever owed anything.
    pub until: [u32; SETS_PER_LINE],
}

/// A bucket's time (sixteenths of a nanosecond) in the unit of [`DebtLine::until`], 4.2 ms; later
/// rather than earlier, and never 0.
#[inline(always)]
pub const fn paid_at(bucket: u64) -> u32 {
    ((bucket >> DEBT_SHIFT) as u32).wrapping_add(1) | 1
}

/// Whether one of the set may owe something at `now`, in sixteenths of a nanosecond.
#[inline(always)]
pub const fn owed(until: u32, now: u64) -> bool {
    // The numbers begin anew after 208 days; what is older than half of that may look like owed.
    until != 0 && until.wrapping_sub((now >> DEBT_SHIFT) as u32) as i32 > 0
}

const DEBT_SHIFT: u32 = 26;

impl SourceKey {
    /// The set in which the source may be. Who knows the seed can choose sources
    /// that drive each other out, and so are limited by none.
    #[inline(always)]
    pub const fn set(&self, seed: u64) -> u32 {
        let [a, b, c, d] = self.addr;
        let (high, low) = (a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32);
        // Odd constants of the golden ratio and of the square root of two.
        let mut hash = (high ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low;
        hash = (hash ^ (hash >> 32)).wrapping_mul(0xb504_f333_f9de_6485);
        hash = (hash ^ (hash >> 29)).wrapping_mul(0xb504_f333_f9de_6485);
        (hash >> 51) as u32 ^ (self.budget * STRIDE)
    }
}

impl SourceSet {
    /// Whether the second place is the source's: the one it has, or else the
    /// one of whom owes less.
    #[inline(always)]
    pub fn second(&self, addr: &Addr) -> bool {
        let [first, second] = &self.ways;
        if first.is(addr) {
            return false;
        }
        second.is(addr) || second.buckets.latest() < first.buckets.latest()
    }
}

impl Source {
    /// What the source with that address owes: nothing, if this is another.
    #[inline(always)]
    pub fn owes(&self, addr: &Addr) -> Buckets {
        if self.is(addr) {
            self.buckets
        } else {
            Buckets::default()
        }
    }

    /// Whether this is the source with that address.
    #[inline(always)]
    pub fn is(&self, addr: &Addr) -> bool {
        let [a, b, c, d] = self.addr;
        (a ^ addr[0]) | (b ^ addr[1]) | (c ^ addr[2]) | (d ^ addr[3]) == 0
    }
}

const _: () = {
    assert!(size_of::<SourceSet>() == 64);
    assert!(size_of::<DebtLine>() == 64);
    assert!(SOURCE_SETS == 1 << 13);
    assert!(STRIDE * TRANSPORTS * Hook::COUNT as u32 == SOURCE_SETS);
};

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for SourceSet {}
#[cfg(feature = "user")]
// SAFETY: likewise.
unsafe impl aya::Pod for DebtLine {}
