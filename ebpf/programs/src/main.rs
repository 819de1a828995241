//! STOQ's BPF programs.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// XDP on each uplink.
#[xdp]
fn stoq_uplink(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// What the kernel is told of the licence: helpers such as the tracing ones ask for GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
