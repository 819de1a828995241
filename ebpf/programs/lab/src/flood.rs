//! Turns each live frame of a test run into the next packet of the flood.

use core::mem::offset_of;

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_store_bytes},
    macros::{map, xdp},
    maps::Array,
    programs::XdpContext,
};

use crate::layout::*;

/// A whole frame, with source 0.0.0.0 in address and IPv4 checksum.
#[repr(C)]
struct Template {
    length: u32,
    frame: [u8; SLOT_BYTES - SLOT_FRAME],
}

const _: () = assert!(offset_of!(Template, frame) == SLOT_FRAME);

/// The packets of all kinds.
#[map]
static FLOOD_TEMPLATES: Array<Template> = Array::with_max_entries(SLOTS, 0);

/// The kind of each step.
#[map]
static FLOOD_SCHEDULE: Array<u32> = Array::with_max_entries(SCHEDULE_STEPS, 0);

/// What each kind sends, and from where.
#[map]
static FLOOD_RULES: Array<[u32; RULE_WORDS]> = Array::with_max_entries(KINDS as u32, 0);

/// Not per CPU: one thread drives one flood.
#[map]
static FLOOD_STATE: Array<[u64; STATE_WORDS]> = Array::with_max_entries(1, 0);

/// Run by BPF_PROG_TEST_RUN on live frames; lets alone what else comes along.
#[xdp]
fn lab_flood(ctx: XdpContext) -> u32 {
    if ctx.data_end() - ctx.data() != LIVE_FRAME {
        return xdp_action::XDP_PASS;
    }
    flood(&ctx).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn flood(ctx: &XdpContext) -> Option<u32> {
    // SAFETY: an array map's value lives as long as the program, and one thread drives the flood.
    let state = unsafe { &mut *FLOOD_STATE.get_ptr_mut(0)? };
    let step = state[STATE_SEQUENCE] % u64::from(SCHEDULE_STEPS);
    let kind = *FLOOD_SCHEDULE.get(step as u32)?;
    let rule = FLOOD_RULES.get(kind)?;
    let sent = state.get_mut(STATE_SENT..)?.get_mut(kind as usize)?;
    let turn = (*sent as u32).checked_rem(rule[RULE_COUNT])?;
    let template = FLOOD_TEMPLATES.get(rule[RULE_FIRST] + turn)?;
    *sent += 1;
    state[STATE_SEQUENCE] += 1;
    fill(ctx, template)?;
    set_source(ctx, rule, next_random(&mut state[STATE_RANDOM]))?;
    // SAFETY: a plain helper call.
    Some(unsafe { bpf_redirect(state[STATE_IFINDEX] as u32, 0) } as u32)
}

/// The frame becomes a copy of the template.
#[inline(always)]
fn fill(ctx: &XdpContext, template: &Template) -> Option<()> {
    let length = template.length;
    if length == 0 || length > FRAME_MAX as u32 {
        return None;
    }
    let frame = template.frame.as_ptr().cast_mut().cast();
    // SAFETY: the helpers check the frame's bounds; `length` bytes lie within the template.
    let failed = unsafe {
        bpf_xdp_adjust_tail(ctx.ctx, length as i32 - LIVE_FRAME as i32) != 0
            || bpf_xdp_store_bytes(ctx.ctx, 0, frame, length) != 0
    };
    (!failed).then_some(())
}

/// Source address and port by the rule, and the IPv4 checksum that goes with them.
#[inline(always)]
fn set_source(ctx: &XdpContext, rule: &[u32; RULE_WORDS], random: u64) -> Option<()> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + 36 > end {
        return None;
    }
    let source = rule[RULE_NETWORK] | (random as u32 & rule[RULE_RANDOM]);
    let port = match rule[RULE_PORT] {
        0 => 1024 + (random >> 32) as u16 % (u16::MAX - 1024),
        port => port as u16,
    };
    // SAFETY: Ethernet, IPv4 without options and a source port: 36 bytes, checked above.
    unsafe {
        let checksum = (start + 24) as *mut [u8; 2];
        *checksum = checksum_with(u16::from_be_bytes(*checksum), source).to_be_bytes();
        *((start + 26) as *mut [u8; 4]) = source.to_be_bytes();
        *((start + 34) as *mut [u8; 2]) = port.to_be_bytes();
    }
    Some(())
}

/// The checksum of a header in which `source` replaces 0.0.0.0.
#[inline(always)]
fn checksum_with(checksum: u16, source: u32) -> u16 {
    let sum = u32::from(!checksum) + (source >> 16) + (source & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + sum) as u16
}

/// xorshift64: the same seed gives the same flood.
#[inline(always)]
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
