//! A node's tables in memory, and the way of a frame through its hooks: what
//! the kernel's programs do, over the same functions.

mod lookup;

use std::collections::{HashMap, HashSet};

use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::flow::Flow;
use stoq_ebpf_abi::guard::{Packet, Reason, guard};
use stoq_ebpf_abi::maps::{
    Buckets, Endpoint, EndpointKey, FlowKey, Hook, Policy, endpoint_flag, mode,
};
use stoq_ebpf_abi::parse::{self, Addr, Datagram, Parsed, Unparsed};
use stoq_ebpf_abi::quic::{self, Header};
use stoq_ebpf_abi::source::SourceKey;

use lookup::Lookup;
pub(crate) use lookup::add;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No transport selects it.
    Unselected,
    /// Left to the kernel unjudged.
    Unparsed(Unparsed),
    /// The guard let it through, or there is none.
    Passed,
    /// The guard would drop it, were it more than a monitor.
    WouldDrop(Reason),
    /// Gone.
    Dropped(Reason),
}

/// A prefix in mapped form: its first bits, and how many count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix {
    pub(crate) transport: u32,
    pub(crate) addr: Addr,
    /// Of 128: an IPv4 prefix's own plus 96.
    pub(crate) bits: u32,
    pub(crate) says: u32,
}

/// The tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) endpoints: HashMap<EndpointKey, Endpoint>,
    pub(crate) policies: HashMap<u32, Policy>,
    pub(crate) prefixes: Vec<Prefix>,
    pub(crate) nodes: HashSet<Addr>,
    pub(crate) sources: HashMap<SourceKey, Buckets>,
    pub(crate) budgets: HashMap<u32, Buckets>,
    pub(crate) flows: HashMap<FlowKey, Flow>,
}

impl Node {
    /// The frame comes in by the uplink.
    pub(crate) fn uplink<B: Bytes + ?Sized>(&mut self, frame: &B, now: u64) -> Fate {
        let mut datagram = Datagram::default();
        let parsed = parse::frame(frame, 0, &mut datagram);
        let outer = self.judge(frame, parsed, &datagram, Hook::Uplink, now);
        if outer != Fate::Unselected || !parsed.has_inner() {
            return outer;
        }
        let inner = match parsed.inner_is_frame() {
            true => parse::frame(frame, parsed.inner_at(), &mut datagram),
            false => parse::packet(frame, parsed.inner_at(), &mut datagram),
        };
        match self.judge(frame, inner, &datagram, Hook::Uplink, now) {
            Fate::Unparsed(_) => Fate::Unselected,
            fate => fate,
        }
    }

    /// The frame goes to a pod.
    pub(crate) fn pod<B: Bytes + ?Sized>(&mut self, frame: &B, now: u64) -> Fate {
        let mut datagram = Datagram::default();
        let parsed = parse::frame(frame, 0, &mut datagram);
        self.judge(frame, parsed, &datagram, Hook::Pod, now)
    }

    fn judge<B: Bytes + ?Sized>(
        &mut self,
        frame: &B,
        parsed: Parsed,
        datagram: &Datagram,
        hook: Hook,
        now: u64,
    ) -> Fate {
        if let Some(why) = parsed.unparsed() {
            return Fate::Unparsed(why);
        }
        let key = EndpointKey {
            addr: datagram.destination,
            port: datagram.destination_port.into(),
        };
        match self.endpoints.get(&key).copied() {
            Some(endpoint) if parsed.is_udp() => self.guard(frame, datagram, &endpoint, hook, now),
            _ => Fate::Unselected,
        }
    }

    fn guard<B: Bytes + ?Sized>(
        &mut self,
        frame: &B,
        datagram: &Datagram,
        endpoint: &Endpoint,
        hook: Hook,
        now: u64,
    ) -> Fate {
        let policy = match self.policies.get(&endpoint.transport) {
            Some(policy) if policy.mode != mode::OFF => *policy,
            _ => return Fate::Passed,
        };
        if matches!(hook, Hook::Uplink) && endpoint.flags & endpoint_flag::POD_ALONE != 0 {
            return Fate::Passed;
        }
        let packet = packet_of(frame, datagram, endpoint);
        let mut tables = Lookup {
            node: self,
            policy: &policy,
            datagram,
            endpoint,
            hook,
        };
        match guard(&packet, &policy, &mut tables, now).reason() {
            None => Fate::Passed,
            Some(reason) if policy.mode == mode::ENFORCE => Fate::Dropped(reason),
            Some(reason) => Fate::WouldDrop(reason),
        }
    }
}

/// The packet as the guard sees it.
pub(crate) fn packet_of<B: Bytes + ?Sized>(
    frame: &B,
    datagram: &Datagram,
    endpoint: &Endpoint,
) -> Packet {
    let segment = frame.segment_size() as usize;
    let len = if segment == 0 {
        datagram.len
    } else {
        datagram.len.min(segment)
    };
    let header = if endpoint.flags & endpoint_flag::QUIC == 0 {
        Header::NONE
    } else {
        quic::header(frame, datagram.payload, datagram.payload + len)
    };
    Packet {
        len,
        segments: frame.datagrams(datagram.len),
        v6: datagram.v6,
        header,
    }
}

/// The key of the flow of an inbound packet to this endpoint or front end.
pub(crate) fn flow_key(endpoint: &Endpoint, datagram: &Datagram) -> FlowKey {
    FlowKey {
        transport: endpoint.transport,
        peer: datagram.source,
        ports: u32::from(datagram.source_port) << 16 | endpoint.port,
    }
}
