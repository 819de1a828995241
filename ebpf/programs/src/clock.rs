//! The three clocks, nanoseconds since some time before boot.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};

/// Nanoseconds of the kernel's tick; set by the loader, likewise.
#[unsafe(no_mangle)]
static STOQ_TICK: u64 = 4_000_000;

/// Whether the kernel has the coarse clock (5.11); set by the loader before
/// the verifier looks, which then never sees the other branch.
#[unsafe(no_mangle)]
static STOQ_COARSE_CLOCK: u8 = 1;

/// Ticks so far, as time: the kernel makes one load of it, so every packet can
/// afford it. It starts elsewhere than the other two and is not steered by
/// NTP, so it tells durations alone.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: a valid static; volatile, because the loader changes the value. The helper takes
    // nothing (Linux 5.5).
    unsafe { bpf_jiffies64() * core::ptr::read_volatile(&raw const STOQ_TICK) }
}

/// A clock that moves once a tick: where a millisecond will do, and user space
/// compares.
#[inline(always)]
pub(crate) fn coarse() -> u64 {
    // SAFETY: a valid static; volatile, because the loader changes the value.
    if unsafe { core::ptr::read_volatile(&raw const STOQ_COARSE_CLOCK) } != 0 {
        // SAFETY: the helper takes nothing and the branch is live only where it exists.
        unsafe { bpf_ktime_get_coarse_ns() }
    } else {
        fine()
    }
}

/// The exact clock.
#[inline(always)]
pub(crate) fn fine() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}
