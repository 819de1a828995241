//! A node's tables in memory, and the way of a frame through its hooks: what
//! the kernel's programs do, over the same functions.

use std::collections::{HashMap, HashSet};

use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::flow::{Flow, flag};
use stoq_ebpf_abi::guard::{Charge, FlowState, Packet, Reason, Tables, guard};
use stoq_ebpf_abi::maps::{
    Buckets, Endpoint, EndpointKey, FlowKey, Hook, Policy, SourceKey, budget_index, endpoint_flag,
    mode,
};
use stoq_ebpf_abi::parse::{self, Addr, Datagram, Inner, Parsed, Unparsed};
use stoq_ebpf_abi::quic::{self, Header};

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
        let parsed = parse::frame(frame, 0);
        let outer = self.judge(frame, &parsed, Hook::Uplink, now);
        let inner = match parse::inner(frame, &parsed) {
            Some(Inner::Frame(at)) if outer == Fate::Unselected => parse::frame(frame, at),
            Some(Inner::Packet(at)) if outer == Fate::Unselected => parse::packet(frame, at),
            _ => return outer,
        };
        match self.judge(frame, &inner, Hook::Uplink, now) {
            Fate::Unparsed(_) => Fate::Unselected,
            fate => fate,
        }
    }

    /// The frame goes to a pod.
    pub(crate) fn pod<B: Bytes + ?Sized>(&mut self, frame: &B, now: u64) -> Fate {
        let parsed = parse::frame(frame, 0);
        self.judge(frame, &parsed, Hook::Pod, now)
    }

    fn judge<B: Bytes + ?Sized>(
        &mut self,
        frame: &B,
        parsed: &Parsed,
        hook: Hook,
        now: u64,
    ) -> Fate {
        let datagram = match parsed {
            Parsed::Udp(datagram) => datagram,
            Parsed::Unparsed(why) => return Fate::Unparsed(*why),
            _ => return Fate::Unselected,
        };
        let key = EndpointKey {
            addr: datagram.destination,
            port: datagram.destination_port.into(),
        };
        match self.endpoints.get(&key).copied() {
            Some(endpoint) => self.guard(frame, datagram, &endpoint, hook, now),
            None => Fate::Unselected,
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
        let masqueraded = matches!(hook, Hook::Pod) && self.nodes.contains(&datagram.source);
        let packet = packet_of(frame, datagram, endpoint, masqueraded);
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
    masqueraded: bool,
) -> Packet {
    let segment = frame.segment_size() as usize;
    let len = if segment == 0 { datagram.len } else { datagram.len.min(segment) };
    let header = if endpoint.flags & endpoint_flag::QUIC == 0 {
        Header::NONE
    } else {
        quic::header(frame, datagram.payload, datagram.payload + len)
    };
    Packet {
        len,
        segments: frame.segments(),
        v6: datagram.v6,
        header,
        masqueraded,
    }
}

/// The key of an inbound packet's flow.
pub(crate) fn flow_key(transport: u32, datagram: &Datagram) -> FlowKey {
    FlowKey {
        transport,
        peer: datagram.source,
        ports: u32::from(datagram.source_port) << 16 | u32::from(datagram.destination_port),
    }
}

/// The guard's tables, for one packet.
struct Lookup<'a> {
    node: &'a mut Node,
    policy: &'a Policy,
    datagram: &'a Datagram,
    endpoint: &'a Endpoint,
    hook: Hook,
}

impl Lookup<'_> {
    fn budget(&self) -> u32 {
        budget_index(self.endpoint.transport, self.hook)
    }

    fn source_key(&self) -> SourceKey {
        let v4 = [u32::MAX, u32::MAX, u32::MAX, self.policy.source_v4];
        let mask = if self.datagram.v6 { self.policy.source_v6 } else { v4 };
        let addr = std::array::from_fn(|i| self.datagram.source[i] & mask[i]);
        SourceKey {
            budget: self.budget(),
            addr,
        }
    }
}

impl Tables for Lookup<'_> {
    fn flow(&mut self) -> FlowState {
        let key = flow_key(self.endpoint.transport, self.datagram);
        match self.node.flows.get(&key) {
            Some(flow) if flow.endpoint == self.endpoint.id => FlowState {
                answered: flow.flags & flag::ANSWERED != 0,
                established: flow.established(),
            },
            _ => FlowState::default(),
        }
    }

    fn cidr(&mut self, _v6: bool) -> u32 {
        let here = self.node.prefixes.iter();
        let here = here.filter(|prefix| prefix.transport == self.endpoint.transport);
        let holding = here.filter(|prefix| holds(prefix, &self.datagram.source));
        let best = holding.max_by_key(|prefix| prefix.bits);
        best.map_or(0, |prefix| prefix.says)
    }

    fn source(&mut self) -> Buckets {
        let known = self.node.sources.get(&self.source_key());
        known.copied().unwrap_or_default()
    }

    fn unestablished(&mut self) -> Buckets {
        let known = self.node.budgets.get(&self.budget());
        known.copied().unwrap_or_default()
    }

    fn charge_source(&mut self, charge: &Charge) {
        let key = self.source_key();
        add(self.node.sources.entry(key).or_default(), charge);
    }

    fn charge_unestablished(&mut self, charge: &Charge) {
        let key = self.budget();
        add(self.node.budgets.entry(key).or_default(), charge);
    }
}

fn holds(prefix: &Prefix, addr: &Addr) -> bool {
    let mask = u128::MAX.checked_shl(128 - prefix.bits).unwrap_or(0);
    number(&prefix.addr) & mask == number(addr) & mask
}

fn number(addr: &Addr) -> u128 {
    addr.iter().fold(0, |sum, word| sum << 32 | u128::from(u32::from_be(*word)))
}

/// What a charge does to a pair of buckets.
pub(crate) fn add(buckets: &mut Buckets, charge: &Charge) {
    if charge.packets != 0 {
        buckets.packets = buckets.packets.max(charge.now) + charge.packets;
    }
    if charge.initials != 0 {
        buckets.initials = buckets.initials.max(charge.now) + charge.initials;
    }
}
