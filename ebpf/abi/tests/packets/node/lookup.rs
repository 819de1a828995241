//! The guard's tables over the node's maps.

use stoq_ebpf_abi::flow::{Flow, flag};
use stoq_ebpf_abi::guard::{Charge, Tables};
use stoq_ebpf_abi::maps::{Buckets, Endpoint, Hook, Policy, budget_index};
use stoq_ebpf_abi::parse::{Addr, Datagram};
use stoq_ebpf_abi::source::SourceKey;

use super::{Node, Prefix, flow_key};

/// The guard's tables, for one packet.
pub(super) struct Lookup<'a> {
    pub(super) node: &'a mut Node,
    pub(super) policy: &'a Policy,
    pub(super) datagram: &'a Datagram,
    pub(super) endpoint: &'a Endpoint,
    pub(super) hook: Hook,
}

impl Lookup<'_> {
    fn budget(&self) -> u32 {
        budget_index(self.endpoint.transport, self.hook)
    }

    fn flow(&self) -> Option<&Flow> {
        let key = flow_key(self.endpoint, self.datagram);
        let flow = self.node.flows.get(&key);
        flow.filter(|flow| self.endpoint.has_flow(flow))
    }

    fn source_key(&self) -> SourceKey {
        let v4 = [u32::MAX, u32::MAX, u32::MAX, self.policy.source_v4];
        let mask = if self.datagram.v6 {
            self.policy.source_v6
        } else {
            v4
        };
        let addr = std::array::from_fn(|i| self.datagram.source[i] & mask[i]);
        SourceKey {
            budget: self.budget(),
            addr,
        }
    }
}

impl Tables for Lookup<'_> {
    fn answered(&mut self) -> bool {
        self.flow()
            .is_some_and(|flow| flow.flags & flag::ANSWERED != 0)
    }

    fn established(&mut self) -> bool {
        self.flow().is_some_and(Flow::established)
    }

    fn cidr(&mut self, _v6: bool) -> u32 {
        let here = self.node.prefixes.iter();
        let here = here.filter(|prefix| prefix.transport == self.endpoint.transport);
        let holding = here.filter(|prefix| holds(prefix, &self.datagram.source));
        let best = holding.max_by_key(|prefix| prefix.bits);
        best.map_or(0, |prefix| prefix.says)
    }

    fn masqueraded(&mut self) -> bool {
        !self.endpoint.is_front_end() && self.node.nodes.contains(&self.datagram.source)
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
    addr.iter()
        .fold(0, |sum, word| sum << 32 | u128::from(u32::from_be(*word)))
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
