//! A packet's way through one hook: parse, look up, judge, observe.

use stoq_ebpf_abi::flow::Direction;
use stoq_ebpf_abi::maps::{Endpoint, Hook, endpoint_flag};
use stoq_ebpf_abi::parse::{Datagram, Parsed};
use stoq_ebpf_abi::quic::{self, Header};

use crate::judge::flow_key;
use crate::maps::{STOQ_ACTIVITY, STOQ_ADDRESSES, STOQ_FLOWS, STOQ_SOCKETS};
use crate::reader::Frame;
use crate::work::{self, Work};
use crate::{account, clock, recent};
use crate::{stage, steer};

/// Where a frame goes on.
pub(crate) enum Way {
    Kernel,
    Nowhere,
    /// To the relay of the endpoint that the flow in work names, if it is admitted.
    Relay,
}

/// A frame that came in by an uplink.
#[inline(always)]
pub(crate) fn uplink_in<F: Frame>(frame: &F) -> Way {
    let Some(work) = work::get() else {
        return Way::Kernel;
    };
    let found = frame.outer(work);
    let tick = clock::ticks();
    let mut endpoint = destination(work, found, tick);
    if endpoint.is_none() && !found.is_plain() {
        account::unparsed(Hook::Uplink, found);
        if found.has_inner() {
            let inner = frame.parse(found.inner_at() as u64, found.inner_is_frame());
            endpoint = destination(work, Parsed::from_bits(inner), tick);
        }
    }
    match endpoint {
        Some(endpoint) => inbound(frame, work, endpoint, Hook::Uplink, tick),
        None => Way::Kernel,
    }
}

/// A frame that came out of a relay, perhaps still addressed to a front end:
/// observed as at the pod, if the endpoint's socket is there to take it. Returns
/// the endpoint's id then.
#[inline(always)]
pub(crate) fn relay<F: Frame>(frame: &F) -> Option<u32> {
    let work = work::get()?;
    let found = frame.outer(work);
    let tick = clock::ticks();
    let mut endpoint = destination(work, found, tick)?;
    if endpoint.is_front_end() {
        endpoint = behind(work, endpoint, tick)?;
    }
    if endpoint.flags & endpoint_flag::STEERED == 0 {
        return None;
    }
    STOQ_SOCKETS.get(endpoint.id)?;
    read(frame, work, endpoint);
    touch(endpoint, Hook::Pod, Direction::In, tick);
    fill(work, endpoint, Hook::Pod, Direction::In, tick);
    frame.observe(false);
    Some(endpoint.id)
}

/// The endpoint that the datagram in work is for, if there is a datagram.
#[inline(always)]
fn destination(work: &Work, found: Parsed, tick: u64) -> Option<&'static Endpoint> {
    if !found.is_udp() {
        return None;
    }
    let datagram = &work.datagram;
    recent::endpoint(&datagram.destination, datagram.destination_port, tick)
}

/// The endpoint that the flow of the datagram in work names, as the table has it
/// now: of a pod that has gone, or was replaced, the flow may still be there.
#[inline(always)]
fn behind(work: &Work, front_end: &Endpoint, tick: u64) -> Option<&'static Endpoint> {
    let datagram = &work.datagram;
    let key = flow_key(front_end, datagram.source, datagram.source_port);
    // SAFETY: a value of the map, which stays readable until the program returns.
    let id = STOQ_FLOWS
        .get_ptr(key)
        .map(|flow| unsafe { (*flow).endpoint })?;
    let endpoint = recent::endpoint(STOQ_ADDRESSES.get(id)?, front_end.port as u16, tick)?;
    (endpoint.id == id && endpoint.transport == front_end.transport).then_some(endpoint)
}

/// A frame on its way into a pod.
#[inline(always)]
pub(crate) fn pod_in<F: Frame>(frame: &F) -> Way {
    let found = Parsed::from_bits(frame.parse(0, true));
    let Some(work) = work::get() else {
        return Way::Kernel;
    };
    if !found.is_udp() {
        account::unparsed(Hook::Pod, found);
        return Way::Kernel;
    }
    let tick = clock::ticks();
    match destination(work, found, tick) {
        Some(endpoint) => inbound(frame, work, endpoint, Hook::Pod, tick),
        None => Way::Kernel,
    }
}

/// A frame on its way out of an endpoint: observed, never dropped.
#[inline(always)]
pub(crate) fn out<F: Frame>(frame: &F, hook: Hook) {
    if !Parsed::from_bits(frame.parse(0, true)).is_udp() {
        return;
    }
    let Some(work) = work::get() else {
        return;
    };
    let tick = clock::ticks();
    let Some(endpoint) = recent::endpoint(&work.datagram.source, work.datagram.source_port, tick)
    else {
        return;
    };
    touch(endpoint, hook, Direction::Out, tick);
    if endpoint.lives_at(hook) {
        read(frame, work, endpoint);
        fill(work, endpoint, hook, Direction::Out, tick);
        frame.observe(false);
    }
}

#[inline(always)]
fn inbound<F: Frame>(
    frame: &F,
    work: &mut Work,
    endpoint: &Endpoint,
    hook: Hook,
    tick: u64,
) -> Way {
    read(frame, work, endpoint);
    let judged = stage::judge(work, endpoint, hook, tick);
    if judged == stage::DROP {
        return Way::Nowhere;
    }
    touch(endpoint, hook, Direction::In, tick);
    if endpoint.lives_at(hook) {
        fill(work, endpoint, hook, Direction::In, tick);
        frame.observe(judged == stage::WOULD_DROP);
        if F::ADMITS && work.endpoint.flags & endpoint_flag::STEERED != 0 {
            steer::admit();
        }
    } else if F::STEERS && endpoint.flags & endpoint_flag::STEERED != 0 {
        fill(work, endpoint, hook, Direction::In, tick);
        return Way::Relay;
    }
    Way::Kernel
}

/// Reads what the guard looks at.
#[inline(always)]
fn read<F: Frame>(frame: &F, work: &mut Work, endpoint: &Endpoint) {
    work.segments = frame.datagrams(work.datagram.len);
    work.first_len = first_len(&work.datagram, frame.segment_size() as usize);
    work.header = if endpoint.flags & endpoint_flag::QUIC == 0 {
        Header::NONE
    } else {
        let at = work.datagram.payload;
        quic::header(frame, at, at + work.first_len)
    };
}

/// Notes what else is observed.
#[inline(always)]
fn fill(work: &mut Work, endpoint: &Endpoint, hook: Hook, direction: Direction, tick: u64) {
    work.endpoint = *endpoint;
    work.hook = hook;
    work.direction = direction;
    work.tick = tick;
}

#[inline(always)]
fn first_len(datagram: &Datagram, segment: usize) -> usize {
    if segment != 0 && segment < datagram.len {
        segment
    } else {
        datagram.len
    }
}

/// Notes that the endpoint had traffic here, at most once a clock tick.
#[inline(always)]
fn touch(endpoint: &Endpoint, hook: Hook, direction: Direction, now: u64) {
    let Some(activity) = STOQ_ACTIVITY.get_ptr_mut(endpoint.id) else {
        return;
    };
    // SAFETY: a value of the map; CPUs that write at once write the same.
    unsafe {
        let (at, tick) = match (hook, direction) {
            (Hook::Uplink, Direction::In) => (&raw mut (*activity).uplink_in, 0),
            (Hook::Uplink, Direction::Out) => (&raw mut (*activity).uplink_out, 1),
            (Hook::Pod, Direction::In) => (&raw mut (*activity).pod_in, 2),
            (Hook::Pod, Direction::Out) => (&raw mut (*activity).pod_out, 3),
        };
        let tick = &raw mut (*activity).ticks[tick];
        if *tick != now {
            *tick = now;
            *at = clock::coarse();
        }
    }
}
