//! The way past the kernel: to an endpoint's relay, and from there to its socket.

use aya_ebpf::bindings::xdp_action::{XDP_PASS, XDP_REDIRECT};
use aya_ebpf::programs::XdpContext;
use stoq_ebpf_abi::flow::flag;
use stoq_ebpf_abi::maps::RELAY_MAC;

use crate::clock;
use crate::judge::flow_of;
use crate::maps::{STOQ_POLICIES, STOQ_RELAYS, STOQ_SOCKETS};
use crate::stage::key_of;
use crate::work;

/// Id of the endpoint of the packet in work, plus one, if the kernel's path has accepted its flow
/// lately; else 0. The flow knows it, where the packet has yet to pass a front end. A function of
/// its own, like the next: the hooks have little stack left.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stoq_admitted() -> u64 {
    let Some(work) = work::get() else {
        return 0;
    };
    // As the pod would get it: no tunnel, no VLAN tag, no options.
    let plain = if work.datagram.v6 { 62 } else { 42 };
    if work.datagram.payload != plain {
        return 0;
    }
    match flow_of(&key_of(work), &work.endpoint) {
        // SAFETY: a value of the map, which stays readable until the program returns.
        Some(flow) if clock::coarse() < unsafe { (*flow).admitted_until } => {
            // SAFETY: likewise.
            unsafe { (*flow).endpoint as u64 + 1 }
        }
        _ => 0,
    }
}

/// The kernel's path has brought the packet in work to the pod, so for a while it need not be asked
/// about its flow again, if the endpoint has answered it. Returns 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stoq_admit() -> u64 {
    let Some(work) = work::get() else {
        return 0;
    };
    if let Some(policy) = STOQ_POLICIES.get(work.endpoint.transport)
        && let Some(flow) = flow_of(&key_of(work), &work.endpoint)
    {
        // SAFETY: a value of the map, aligned; CPUs that write at once write nearly the same.
        unsafe {
            if (*flow).flags & flag::ANSWERED != 0 {
                (*flow).admitted_until = clock::coarse() + policy.readmit_after;
            }
        }
    }
    0
}

#[inline(always)]
pub(crate) fn admit() {
    stoq_admit();
}

/// Sends the frame into the relay of its endpoint, if its flow is admitted; to the kernel, if it is
/// not, or there is no relay.
#[inline(always)]
pub(crate) fn to_relay(ctx: &XdpContext) -> u32 {
    let admitted = stoq_admitted();
    if admitted == 0 {
        return XDP_PASS;
    }
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + RELAY_MAC.len() > end {
        return XDP_PASS;
    }
    let Ok(XDP_REDIRECT) = STOQ_RELAYS.redirect(admitted as u32 - 1, XDP_PASS as u64) else {
        return XDP_PASS;
    };
    // With no socket behind the relay the host takes the frame there, as one for itself.
    // SAFETY: six bytes, checked above.
    unsafe { *(start as *mut [u8; 6]) = RELAY_MAC };
    XDP_REDIRECT
}

/// Sockets are bound to the first queue: all that a relay has, and on a NIC the kernel would drop what
/// came by another.
#[inline(always)]
pub(crate) fn has_socket(ctx: &XdpContext) -> bool {
    // SAFETY: the context is valid while the program runs.
    unsafe { (*ctx.ctx).rx_queue_index == 0 }
}

/// Hands the frame to the endpoint's socket; to the kernel, if that has gone.
#[inline(always)]
pub(crate) fn to_socket(endpoint: u32) -> u32 {
    match STOQ_SOCKETS.redirect(endpoint, XDP_PASS as u64) {
        Ok(action) | Err(action) => action,
    }
}
