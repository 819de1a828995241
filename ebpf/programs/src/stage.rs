//! The stages of a packet's way, over the packet in work.

use aya_ebpf::bindings::BPF_NOEXIST;
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::flow::{Direction, Flow, Outcome, Seen, flag};
use stoq_ebpf_abi::guard::{Packet, guard};
use stoq_ebpf_abi::maps::{Endpoint, FlowKey, Hook, Opening, endpoint_flag, mode};
use stoq_ebpf_abi::parse::{self, Parsed};
use stoq_ebpf_abi::quic::{self, Census, Kind};

use crate::account::{self, Load};
use crate::clock;
use crate::hint;
use crate::judge::{Kernel, flow_key, flow_of};
use crate::maps::{STOQ_FLOWS, STOQ_OPENINGS, STOQ_POLICIES};
use crate::reader::Frame;
use crate::work::{self, Work};

/// [`judge`]: let it through.
pub(crate) const PASS: u64 = 0;
/// [`judge`]: drop it.
pub(crate) const DROP: u64 = 1;
/// [`judge`]: let it through, though not in `Enforce`.
pub(crate) const WOULD_DROP: u64 = 2;

/// Parses the frame, or the packet if not `ether`, at `at`. A datagram goes
/// into [`Work::datagram`].
#[inline(always)]
pub(crate) fn parse<B: Bytes>(frame: &B, at: usize, ether: bool) -> u64 {
    let Some(work) = work::get() else {
        return Parsed::OTHER.to_bits();
    };
    let parsed = if ether {
        parse::frame(frame, at, &mut work.datagram)
    } else {
        parse::packet(frame, at, &mut work.datagram)
    };
    parsed.to_bits()
}

/// Judges a packet to an endpoint. Inlined: a function of its own costs 8 ns a
/// packet, and the work item alone keeps it simple enough for the verifier.
#[inline(always)]
pub(crate) fn judge(work: &Work, endpoint: &Endpoint, hook: Hook, tick: u64) -> u64 {
    let Some(policy) = STOQ_POLICIES.get(endpoint.transport) else {
        return PASS;
    };
    if policy.mode == mode::OFF {
        return PASS;
    }
    if matches!(hook, Hook::Uplink) && !endpoint.lives_at(hook) {
        // Monitor changes nothing, so where the pod's hook will judge, that is enough.
        let alone = endpoint.flags & endpoint_flag::POD_ALONE != 0;
        if policy.mode == mode::MONITOR || alone {
            return PASS;
        }
    }
    let packet = Packet {
        len: work.first_len,
        segments: work.segments,
        v6: work.datagram.v6,
        header: work.header,
    };
    let mut tables = Kernel::new(endpoint, policy, &work.datagram, hook, tick);
    let verdict = guard(&packet, policy, &mut tables, tick);
    if verdict.passes() {
        return PASS;
    }
    let enforced = policy.mode == mode::ENFORCE;
    account::refused(endpoint.slot, hook, verdict, work.segments, enforced);
    if enforced { DROP } else { WOULD_DROP }
}

/// Accounts for a frame that passed, and moves its flow on. One the guard
/// would have dropped begins no flow. Returns 0.
#[inline(always)]
pub(crate) fn observe<F: Frame>(frame: &F, refused: bool) -> u64 {
    let Some(work) = work::get() else {
        return 0;
    };
    let load = Load {
        direction: work.direction,
        segments: work.segments,
        segment_size: frame.segment_size(),
        bytes: work.datagram.len,
    };
    let now = clock::coarse();
    let seen = seen(frame, work, now);
    let key = key_of(work);
    let mut outcome = Outcome::default();
    let mut began = false;
    let mut flow = flow_of(&key, &work.endpoint);
    let front_end = work.endpoint.is_front_end();
    // SAFETY: a value of the map, which stays readable until the program returns.
    if front_end && flow.is_some_and(|flow| unsafe { (*flow).endpoint } != work.endpoint.id) {
        // The pod's own hook tracks it.
        return 0;
    }
    if flow.is_none() && !refused && begin(&key, work, &seen, &mut outcome) {
        began = true;
        flow = STOQ_FLOWS.get_ptr_mut(key);
    }
    if let Some(flow) = flow {
        // SAFETY: a value of the map. Other CPUs may write to it at once: every field stays a
        // valid integer, and what must be exact is counted elsewhere.
        let observed = unsafe { (*flow).observe(&seen, clock::fine) };
        outcome = Outcome {
            opened: outcome.opened | observed.opened,
            ..observed
        };
        account::flow(flow, &load);
        // SAFETY: a value of the map, which stays readable until the program returns.
        if unsafe { (*flow).established() } {
            hint::note(&key, work.tick);
        }
    }
    if !front_end {
        account::passed(work.endpoint.slot, &load, seen.census, &outcome, began);
    }
    0
}

#[inline(always)]
fn seen<F: Frame>(frame: &F, work: &Work, now: u64) -> Seen {
    let header = work.header;
    let at = work.datagram.payload;
    let inbound = matches!(work.direction, Direction::In);
    let (census, client_id, server_id) = if header.is_long() {
        let segment = frame.segment_size() as usize;
        let census = Census::from_bits(frame.census(at, work.datagram.len, segment));
        let client_id = quic::client_id(frame, at, &header, inbound);
        let server_id = quic::server_id(frame, at, &header, inbound);
        (census, client_id, server_id)
    } else if header.is_quic() {
        let server_id = quic::server_id(frame, at, &header, inbound);
        (Census::short(work.segments), 0, server_id)
    } else {
        (Census::default(), 0, 0)
    };
    let quic = work.endpoint.flags & endpoint_flag::QUIC != 0;
    Seen {
        direction: work.direction,
        now,
        quic,
        header,
        client_id,
        server_id,
        len: work.first_len as u32,
        census,
    }
}

#[inline(always)]
pub(crate) fn key_of(work: &Work) -> FlowKey {
    let datagram = &work.datagram;
    let (peer, peer_port) = match work.direction {
        Direction::In => (datagram.source, datagram.source_port),
        Direction::Out => (datagram.destination, datagram.destination_port),
    };
    flow_key(&work.endpoint, peer, peer_port)
}

/// Begins a flow where that is due: at the pod when a packet came in, at the
/// uplink only when the endpoint answers, so that a flood can't fill the table.
#[inline(always)]
fn begin(key: &FlowKey, work: &mut Work, seen: &Seen, outcome: &mut Outcome) -> bool {
    let inbound = matches!(work.direction, Direction::In);
    let uplink = matches!(work.hook, Hook::Uplink);
    if inbound == uplink {
        if uplink && seen.header.is(Kind::Initial) {
            remember(key, seen);
        }
        return false;
    }
    let flow = &mut work.fresh;
    *flow = Flow::begin(work.endpoint.id, seen.now);
    if work.endpoint.is_front_end() {
        flow.flags = flag::FRONT_END;
    }
    if uplink {
        recall(key, flow, outcome);
        if !outcome.opened {
            // What provoked this was not kept: no length proves that it is no stateless reset.
            flow.longest_in = u32::MAX;
        }
    }
    // A flow of another endpoint under the same key starts over.
    let flow: &Flow = flow;
    STOQ_FLOWS.insert(key, flow, BPF_NOEXIST as u64).is_ok()
        || STOQ_FLOWS.insert(key, flow, 0).is_ok()
}

#[inline(always)]
fn remember(key: &FlowKey, seen: &Seen) {
    let at = clock::fine();
    if let Some(known) = STOQ_OPENINGS.get_ptr(key) {
        // SAFETY: a value of the map, which stays readable until the program returns.
        let known = unsafe { *known };
        if known.is_of(seen.client_id, at) {
            return;
        }
    }
    let opening = Opening {
        at,
        client_id: seen.client_id,
        pad: 0,
    };
    let _ = STOQ_OPENINGS.insert(key, opening, 0);
}

#[inline(always)]
fn recall(key: &FlowKey, flow: &mut Flow, outcome: &mut Outcome) {
    let Some(opening) = STOQ_OPENINGS.get_ptr(key) else {
        return;
    };
    // SAFETY: a value of the map, which stays readable until the program returns.
    let opening = unsafe { *opening };
    if opening.is_of(opening.client_id, clock::fine()) {
        flow.open(opening.client_id, opening.at);
        outcome.opened = true;
    }
    let _ = STOQ_OPENINGS.remove(key);
}
