//! STOQ's BPF programs: thin wiring of the kernel's hooks to the pure
//! functions of `stoq-ebpf-abi`.
//!
//! Whatever is not positively recognised, and whatever goes wrong in here,
//! passes to the kernel.
#![no_std]
#![no_main]
// Atomics and assembly of this target are not in core's stable interface.
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features)]

mod account;
mod clock;
mod hint;
mod judge;
mod maps;
mod path;
mod reader;
mod recent;
mod stage;
mod steer;
mod work;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use stoq_ebpf_abi::maps::Hook;

use crate::path::Way;
use crate::reader::{Frame, Parts, Skb, Xdp};

/// `TCX_NEXT` and, for clsact in direct-action mode, `TC_ACT_UNSPEC`: the next
/// program or the kernel goes on with the packet.
const TC_NEXT: i32 = -1;
/// `TCX_DROP` and `TC_ACT_SHOT`.
const TC_DROP: i32 = 2;

/// XDP on each uplink.
#[xdp]
fn stoq_uplink(ctx: XdpContext) -> u32 {
    match path::uplink_in(&Xdp::new(&ctx)) {
        Way::Kernel => XDP_PASS,
        Way::Nowhere => XDP_DROP,
        Way::Relay => steer::to_relay(&ctx),
    }
}

/// XDP on the end of a relay that packets come out of.
#[xdp]
fn stoq_relay(ctx: XdpContext) -> u32 {
    hand_over(&ctx, Xdp::new)
}

/// The same for frames in several parts (5.18), on an interface with no agent.
#[xdp(frags)]
fn stoq_direct(ctx: XdpContext) -> u32 {
    hand_over(&ctx, Parts::new)
}

#[inline(always)]
fn hand_over<F: Frame>(ctx: &XdpContext, frame: impl FnOnce(&XdpContext) -> F) -> u32 {
    if !steer::has_socket(ctx) {
        return XDP_PASS;
    }
    match path::relay(&frame(ctx)) {
        Some(endpoint) => steer::to_socket(endpoint),
        None => XDP_PASS,
    }
}

/// TCX ingress on an uplink that refuses XDP.
#[classifier]
fn stoq_uplink_in(ctx: TcContext) -> i32 {
    tc(path::uplink_in(&Skb::new(&ctx)))
}

/// TC egress on the uplink: answers of endpoints that live there.
#[classifier]
fn stoq_uplink_out(ctx: TcContext) -> i32 {
    path::out(&Skb::new(&ctx), Hook::Uplink);
    TC_NEXT
}

/// TC egress on the host side of a pod's interface: packets to the pod.
#[classifier]
fn stoq_pod_in(ctx: TcContext) -> i32 {
    tc(path::pod_in(&Skb::new(&ctx)))
}

/// TC ingress on the host side of a pod's interface: packets of the pod.
#[classifier]
fn stoq_pod_out(ctx: TcContext) -> i32 {
    path::out(&Skb::new(&ctx), Hook::Pod);
    TC_NEXT
}

#[inline(always)]
fn tc(way: Way) -> i32 {
    match way {
        Way::Kernel | Way::Relay => TC_NEXT,
        Way::Nowhere => TC_DROP,
    }
}

/// What the kernel is told of the licence: helpers such as the tracing ones ask for GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
