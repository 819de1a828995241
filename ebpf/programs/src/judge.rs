//! The guard's tables in the kernel's maps.

use stoq_ebpf_abi::flow::{Flow, flag};
use stoq_ebpf_abi::guard::{Charge, Tables};
use stoq_ebpf_abi::maps::{Buckets, CidrV4, CidrV6, Endpoint, FlowKey, Hook, Policy, budget_index};
use stoq_ebpf_abi::parse::{Addr, Datagram};
use stoq_ebpf_abi::source::{SETS_PER_LINE, Source, SourceKey, owed, paid_at};

use crate::hint;
use crate::maps::{
    AlignedKey, STOQ_BUDGETS, STOQ_CIDRS_V4, STOQ_CIDRS_V6, STOQ_DEBTS, STOQ_FLOWS, STOQ_NODES,
    STOQ_SOURCES, longest_match,
};

/// The tables, for one packet to an endpoint.
pub(crate) struct Kernel<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) policy: &'a Policy,
    pub(crate) datagram: &'a Datagram,
    pub(crate) hook: Hook,
    pub(crate) tick: u64,
    /// The set in which the source's buckets may be.
    set: u32,
}

/// What only this machine knows, set by the loader.
#[unsafe(no_mangle)]
static STOQ_SEED: u64 = 0;

#[inline(always)]
fn seed() -> u64 {
    // SAFETY: a valid static; volatile, because the loader changes the value.
    unsafe { core::ptr::read_volatile(&raw const STOQ_SEED) }
}

/// Key of the flow between a peer and an endpoint, or what is behind a front end.
#[inline(always)]
pub(crate) fn flow_key(endpoint: &Endpoint, peer: [u32; 4], peer_port: u16) -> FlowKey {
    FlowKey {
        transport: endpoint.transport,
        peer,
        ports: (peer_port as u32) << 16 | endpoint.port,
    }
}

/// The flow of `key`, if it belongs to this endpoint, or to one behind this front end.
#[inline(always)]
pub(crate) fn flow_of(key: &FlowKey, endpoint: &Endpoint) -> Option<*mut Flow> {
    let flow = STOQ_FLOWS.get_ptr_mut(key)?;
    // SAFETY: a value of the map, which stays readable until the program returns.
    endpoint.has_flow(unsafe { &*flow }).then_some(flow)
}

impl<'a> Kernel<'a> {
    #[inline(always)]
    pub(crate) fn new(
        endpoint: &'a Endpoint,
        policy: &'a Policy,
        datagram: &'a Datagram,
        hook: Hook,
        tick: u64,
    ) -> Self {
        Self {
            endpoint,
            policy,
            datagram,
            hook,
            tick,
            set: 0,
        }
    }

    #[inline(always)]
    fn flow_key(&self) -> FlowKey {
        let datagram = self.datagram;
        flow_key(self.endpoint, datagram.source, datagram.source_port)
    }

    #[inline(always)]
    fn source_addr(&self) -> Addr {
        let [a, b, c, d] = self.datagram.source;
        if self.datagram.v6 {
            let mask = &self.policy.source_v6;
            [a & mask[0], b & mask[1], c & mask[2], d & mask[3]]
        } else {
            [a, b, c, d & self.policy.source_v4]
        }
    }
}

impl Tables for Kernel<'_> {
    #[inline(always)]
    fn answered(&mut self) -> bool {
        match flow_of(&self.flow_key(), self.endpoint) {
            // SAFETY: a value of the map, which stays readable until the program returns.
            Some(flow) => unsafe { (*flow).flags & flag::ANSWERED != 0 },
            None => false,
        }
    }

    #[inline(always)]
    fn established(&mut self) -> bool {
        let key = self.flow_key();
        if !hint::heard_of(&key, self.tick) {
            return false;
        }
        match flow_of(&key, self.endpoint) {
            // SAFETY: likewise.
            Some(flow) => unsafe { (*flow).established() },
            None => false,
        }
    }

    #[inline(always)]
    fn cidr(&mut self, v6: bool) -> u32 {
        let transport = self.endpoint.transport;
        let addr = self.datagram.source;
        if v6 {
            let data = CidrV6 { transport, addr };
            longest_match(
                &STOQ_CIDRS_V6,
                &AlignedKey {
                    prefix_len: 160,
                    data,
                },
            )
        } else {
            let data = CidrV4 {
                transport,
                addr: addr[3],
            };
            longest_match(
                &STOQ_CIDRS_V4,
                &AlignedKey {
                    prefix_len: 64,
                    data,
                },
            )
        }
    }

    #[inline(always)]
    fn masqueraded(&mut self) -> bool {
        // Before a front end nobody has: a node's address is that of who sent it.
        !self.endpoint.is_front_end() && STOQ_NODES.get_ptr(self.datagram.source).is_some()
    }

    #[inline(always)]
    fn source(&mut self) -> Buckets {
        let addr = self.source_addr();
        let budget = budget_index(self.endpoint.transport, self.hook);
        self.set = SourceKey { budget, addr }.set(seed());
        match debt(self.set) {
            // SAFETY: a value of the map, which stays readable until the program returns.
            Some(until) if unsafe { owed(*until, self.tick << 4) } => {}
            _ => return Buckets::default(),
        }
        match place(self.set, &addr) {
            // SAFETY: likewise.
            Some(source) => unsafe { (*source).owes(&addr) },
            None => Buckets::default(),
        }
    }

    #[inline(always)]
    fn unestablished(&mut self) -> Buckets {
        match STOQ_BUDGETS.get(budget_index(self.endpoint.transport, self.hook)) {
            Some(budget) => budget.buckets,
            None => Buckets::default(),
        }
    }

    #[inline(always)]
    fn charge_source(&mut self, charge: &Charge) {
        let addr = self.source_addr();
        let Some(source) = place(self.set, &addr) else {
            return;
        };
        // SAFETY: a value of the map, 8-aligned. Of two sources that take the same place at once
        // one pays for both, for a packet.
        let latest = unsafe {
            if !(*source).is(&addr) {
                (*source).buckets = Buckets::default();
                (*source).addr = addr;
            }
            charge_buckets(&raw mut (*source).buckets, charge);
            (*source).buckets.latest()
        };
        if let Some(until) = debt(self.set) {
            // SAFETY: a value of the map, aligned. Two CPUs that write at once lose a debt until
            // the next charge at most.
            unsafe {
                if !owed(*until, latest) {
                    *until = paid_at(latest);
                }
            }
        }
    }

    #[inline(always)]
    fn charge_unestablished(&mut self, charge: &Charge) {
        if let Some(budget) =
            STOQ_BUDGETS.get_ptr_mut(budget_index(self.endpoint.transport, self.hook))
        {
            // SAFETY: the first field of a value of the map.
            charge_buckets(unsafe { &raw mut (*budget).buckets }, charge);
        }
    }
}

/// Where the buckets of the source with that address are in a set, or may be.
#[inline(always)]
fn place(set: u32, addr: &Addr) -> Option<*mut Source> {
    let set = STOQ_SOURCES.get_ptr_mut(set)?;
    // SAFETY: a value of the map, which stays readable until the program returns.
    Some(unsafe {
        if (*set).second(addr) {
            &raw mut (*set).ways[1]
        } else {
            &raw mut (*set).ways[0]
        }
    })
}

/// When the set's sources will all have paid.
#[inline(always)]
fn debt(set: u32) -> Option<*mut u32> {
    let line = STOQ_DEBTS.get_ptr_mut(set / SETS_PER_LINE as u32)?;
    // SAFETY: the remainder is within a line.
    Some(unsafe { &raw mut (*line).until[set as usize % SETS_PER_LINE] })
}

#[inline(always)]
fn charge_buckets(buckets: *mut Buckets, charge: &Charge) {
    // SAFETY: a value of the map, 8-aligned, shared with other CPUs as atomics and plain words.
    unsafe {
        charge_bucket(&raw mut (*buckets).packets, charge.packets, charge.now);
        charge_bucket(&raw mut (*buckets).initials, charge.initials, charge.now);
    }
}

/// # Safety
/// `bucket` points into a map's value and is aligned.
#[inline(always)]
unsafe fn charge_bucket(bucket: *mut u64, cost: u64, now: u64) {
    if cost == 0 {
        return;
    }
    // SAFETY: as promised by the caller. Two CPUs that refill at once lose one charge at most.
    unsafe {
        if *bucket < now {
            *bucket = now + cost;
        } else {
            crate::account::add(bucket, cost);
        }
    }
}
