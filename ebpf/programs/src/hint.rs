//! The hint of established flows in its map.

use stoq_ebpf_abi::hint::{lately, place, seconds};
use stoq_ebpf_abi::maps::FlowKey;

use crate::maps::STOQ_HINTS;

/// Whether the flow may be an established one.
#[inline(always)]
pub(crate) fn heard_of(key: &FlowKey, tick: u64) -> bool {
    // SAFETY: a value of the map, which stays readable until the program returns.
    heard(key).is_some_and(|heard| lately(unsafe { *heard }, tick))
}

/// Notes a packet of an established flow, at most once a second.
#[inline(always)]
pub(crate) fn note(key: &FlowKey, tick: u64) {
    let now = seconds(tick);
    if let Some(heard) = heard(key) {
        // SAFETY: a value of the map, aligned; CPUs that write at once write the same.
        unsafe {
            if *heard != now {
                *heard = now;
            }
        }
    }
}

#[inline(always)]
fn heard(key: &FlowKey) -> Option<*mut u32> {
    let place = place(key);
    let line = STOQ_HINTS.get_ptr_mut(place.line)?;
    // SAFETY: a place is within a line.
    Some(unsafe { &raw mut (*line).heard[place.at] })
}
