//! Where established flows were heard of lately: a hint that is small enough to
//! stay in a CPU's cache, so that a flood from sources nobody knows is not
//! looked up in the flow table, packet by packet.

use crate::maps::FlowKey;

/// Lines of the table.
pub const HINT_LINES: u32 = 1024;
/// Places in a line.
const PLACES: usize = 16;
/// How long a flow counts as heard of, seconds: longer than it is remembered
/// in silence (300), and what the agent takes to notice.
const LATELY: u64 = 360;

/// A cache line of places that flows share by their hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct HintLine {
    /// When an established flow was last heard of; [`seconds`], 0: never.
    pub heard: [u32; PLACES],
}

/// A place: its line, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Below [`HINT_LINES`].
    pub line: u32,
    /// Below the length of a line.
    pub at: usize,
}

/// The place of a flow.
#[inline(always)]
pub const fn place(key: &FlowKey) -> Place {
    let [a, b, c, d] = key.peer;
    let (high, low) = (a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32);
    // Odd constants of the golden ratio and of the square root of two.
    let mut hash = high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low;
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xb504_f333_f9de_6485);
    hash ^= key.ports as u64 | (key.transport as u64) << 32;
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xb504_f333_f9de_6485);
    Place {
        line: (hash >> 54) as u32,
        at: (hash >> 50) as usize % PLACES,
    }
}

/// The unit of [`HintLine::heard`]: 1.07 seconds of the tick clock.
#[inline(always)]
pub const fn seconds(tick: u64) -> u32 {
    (tick >> 30) as u32
}

/// Whether an established flow may be there.
#[inline(always)]
pub const fn lately(heard: u32, tick: u64) -> bool {
    heard != 0 && heard as u64 + LATELY >= seconds(tick) as u64
}

const _: () = {
    assert!(size_of::<HintLine>() == 64);
    assert!(HINT_LINES == 1 << 10);
};

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for HintLine {}
