//! A data plane that carries packets past the host side of a pod's interface,
//! as Cilium's eBPF host routing does.

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT},
    helpers::generated::bpf_redirect_peer,
    macros::{classifier, map},
    maps::HashMap,
    programs::TcContext,
};

const ETHERTYPE: usize = 12;
const IPV4: u16 = 0x0800;
const IPV4_DESTINATION: usize = 30;

/// By a pod's IPv4 address as it stands in the packet: the host side's interface index (native
/// order), then the Ethernet destination and source that the pod is to see.
#[map]
static BYPASS_PODS: HashMap<[u8; 4], [u8; 16]> = HashMap::with_max_entries(256, 0);

/// TC ingress of the uplink: hands packets for a pod to the pod's own end of its interface.
#[classifier]
fn lab_bypass(ctx: TcContext) -> i32 {
    bypass(&ctx).unwrap_or(TC_ACT_OK)
}

#[inline(always)]
fn bypass(ctx: &TcContext) -> Option<i32> {
    if u16::from_be(ctx.load(ETHERTYPE).ok()?) != IPV4 {
        return None;
    }
    let destination: [u8; 4] = ctx.load(IPV4_DESTINATION).ok()?;
    // SAFETY: the entry is written once, before traffic flows.
    let pod = unsafe { BYPASS_PODS.get(destination) }?;
    let [a, b, c, d, addresses @ ..] = *pod;
    if ctx.store(0, &addresses, 0).is_err() {
        return Some(TC_ACT_SHOT);
    }
    // SAFETY: a plain helper call.
    Some(unsafe { bpf_redirect_peer(u32::from_ne_bytes([a, b, c, d]), 0) } as i32)
}
