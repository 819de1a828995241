//! The two clocks, nanoseconds since boot.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;

/// Whether the kernel has the coarse clock (5.11); set by the loader before
/// the verifier looks, which then never sees the other branch.
#[unsafe(no_mangle)]
static STOQ_COARSE_CLOCK: u8 = 1;

/// A clock that moves once a tick and costs a load: where a millisecond will do.
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
