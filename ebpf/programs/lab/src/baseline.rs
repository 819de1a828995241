//! Bare XDP programs: baselines of measurements, and "another's" programs on an interface.

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::PerCpuArray,
    programs::XdpContext,
};

/// Packets and bytes that `lab_count` has passed, per CPU.
#[map]
static COUNT: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(1, 0);

/// Drops everything.
#[xdp]
fn lab_drop(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Passes everything.
#[xdp]
fn lab_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Counts everything and passes it.
#[xdp]
fn lab_count(ctx: XdpContext) -> u32 {
    if let Some(count) = COUNT.get_ptr_mut(0) {
        // SAFETY: a per-CPU value of a map that outlives the program, used by this CPU alone.
        let [packets, bytes] = unsafe { &mut *count };
        *packets += 1;
        *bytes += (ctx.data_end() - ctx.data()) as u64;
    }
    xdp_action::XDP_PASS
}
