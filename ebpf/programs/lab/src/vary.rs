//! Makes a test run, which repeats one packet, meet many sources.

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::ProgramArray,
    programs::XdpContext,
};

use crate::layout::{VARY_SOURCES, VARY_STRIDE};

/// What comes after `lab_vary`.
#[map]
static VARY_NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Moves the source of an IPv4 packet on to another of its network's first [`VARY_SOURCES`]
/// addresses and hands it to the program in `VARY_NEXT`. The packet itself is the state: the
/// next repetition finds it as this one left it. Its checksum is not kept up.
#[xdp]
fn lab_vary(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + 30 > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: Ethernet and the addresses of IPv4: 30 bytes, checked above.
    let host = unsafe { &mut *((start + 28) as *mut [u8; 2]) };
    let next = (u32::from(u16::from_be_bytes(*host)) + VARY_STRIDE) % VARY_SOURCES;
    *host = (next as u16).to_be_bytes();
    // SAFETY: an array of XDP programs, and this is one.
    unsafe { VARY_NEXT.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}
