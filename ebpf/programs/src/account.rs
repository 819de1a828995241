//! Counters and histograms of the kernel's maps.

use core::arch::asm;
use core::intrinsics::{AtomicOrdering, atomic_xadd};

use stoq_ebpf_abi::flow::{Direction, Flow, Outcome};
use stoq_ebpf_abi::guard::{Reason, Verdict};
use stoq_ebpf_abi::histogram::{SIZE_BITS, SIZE_BUCKETS, TIME_BITS, TIME_BUCKETS, index};
use stoq_ebpf_abi::maps::{Event, Hook};
use stoq_ebpf_abi::parse::{Parsed, Unparsed};
use stoq_ebpf_abi::quic::{Census, Kind};

use crate::maps::{STOQ_COUNTERS, STOQ_HISTOGRAMS, STOQ_UNJUDGED};

/// What one frame adds.
pub(crate) struct Load {
    pub(crate) direction: Direction,
    pub(crate) segments: u32,
    pub(crate) segment_size: u32,
    pub(crate) bytes: usize,
}

/// Counts a frame that was dropped, or would have been.
#[inline(always)]
pub(crate) fn refused(slot: u32, hook: Hook, verdict: Verdict, segments: u32, enforced: bool) {
    let Some(counters) = STOQ_COUNTERS.get_ptr_mut(slot) else {
        return;
    };
    let (hook, reason) = (hide(hook as usize), verdict.reason_index());
    if hook >= Hook::COUNT || reason >= Reason::COUNT {
        return;
    }
    // SAFETY: this CPU's copy of a value of the map; both indexes are checked.
    unsafe {
        if enforced {
            (*counters).dropped[hook][reason] += segments as u64;
        } else {
            (*counters).would_drop[hook][reason] += segments as u64;
        }
    }
}

/// Counts a packet that was left to the kernel unjudged, if it was.
#[inline(always)]
pub(crate) fn unparsed(hook: Hook, parsed: Parsed) {
    let why = parsed.unparsed_number().wrapping_sub(1);
    if why < Unparsed::COUNT
        && let Some(unjudged) = STOQ_UNJUDGED.get_ptr_mut(0)
    {
        // SAFETY: this CPU's copy of a value of the map; the hook is in range by its type.
        unsafe { (*unjudged).unparsed[hook as usize][why] += 1 };
    }
}

/// Counts a frame that passed, in its slot.
#[inline(always)]
pub(crate) fn passed(slot: u32, load: &Load, census: Census, outcome: &Outcome, began: bool) {
    if let Some(counters) = STOQ_COUNTERS.get_ptr_mut(slot) {
        let direction = hide(load.direction as usize);
        if direction > 1 {
            return;
        }
        // SAFETY: this CPU's copy of a value of the map; all indexes are checked or constant.
        unsafe {
            (*counters).packets[direction] += load.segments as u64;
            (*counters).bytes[direction] += load.bytes as u64;
            for kind in 0..Kind::COUNT as u32 {
                (*counters).kinds[kind as usize] += census.count(kind);
            }
            (*counters).events[Event::Opened as usize] += outcome.opened as u64;
            (*counters).events[Event::Established as usize] += outcome.established as u64;
            (*counters).flows += began as u64;
        }
    }
    histograms(slot, load, outcome);
}

#[inline(always)]
fn histograms(slot: u32, load: &Load, outcome: &Outcome) {
    let Some(histograms) = STOQ_HISTOGRAMS.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: this CPU's copy of a value of the map; the indexes are masked into range.
    unsafe {
        let full = load.segments as u64 - 1;
        if full != 0 {
            let at = size_index(load.segment_size as u64);
            (*histograms).size[at] += full;
        }
        let last = (load.bytes as u64).wrapping_sub(full * load.segment_size as u64);
        (*histograms).size[size_index(last)] += 1;
        if outcome.handshake != 0 {
            let microseconds = outcome.handshake / 1000;
            (*histograms).handshake[time_index(microseconds)] += 1;
            (*histograms).handshake_sum += microseconds;
        }
        if outcome.rtt != 0 {
            let microseconds = outcome.rtt / 1000;
            (*histograms).rtt[time_index(microseconds)] += 1;
            (*histograms).rtt_sum += microseconds;
        }
    }
}

/// The verifier can't follow [`index`] to its bound, so the bound stands again.
#[inline(always)]
fn size_index(bytes: u64) -> usize {
    bounded(index(bytes, SIZE_BITS), SIZE_BUCKETS)
}

#[inline(always)]
fn time_index(microseconds: u64) -> usize {
    bounded(index(microseconds, TIME_BITS), TIME_BUCKETS)
}

#[inline(always)]
fn bounded(index: usize, buckets: usize) -> usize {
    let index = hide(index);
    if index < buckets { index } else { buckets - 1 }
}

/// The same value, of which LLVM no longer knows the range: it would leave out
/// or turn round the check that the verifier wants to see.
#[inline(always)]
pub(crate) fn hide(value: usize) -> usize {
    let mut value = value;
    // SAFETY: moves a register onto itself. No instruction at all would give two lines of
    // source to the next one, which the kernel refuses in the line information.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
    value
}

/// Adds a frame to its flow's own counters, which several CPUs may share.
#[inline(always)]
pub(crate) fn flow(flow: *mut Flow, load: &Load) {
    let direction = hide(load.direction as usize);
    if direction > 1 {
        return;
    }
    // SAFETY: a value of the map, 8-aligned; the direction is checked.
    unsafe {
        add(&raw mut (*flow).packets[direction], load.segments as u64);
        add(&raw mut (*flow).bytes[direction], load.bytes as u64);
    }
}

/// Adds to a word that several CPUs share, in one instruction. The result is
/// never used: fetching it takes a kernel of 5.12.
///
/// # Safety
/// `word` points into a map's value and is aligned.
#[inline(always)]
pub(crate) unsafe fn add(word: *mut u64, amount: u64) {
    // SAFETY: as promised by the caller.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(word, amount) };
}
