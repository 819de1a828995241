//! From what the maps hold to what they are to hold: which entries to write, in which order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use stoq_ebpf_abi::maps::{CIDRS, Endpoint, EndpointKey, NAME_LEN, NODES, TRANSPORTS};

use super::addr::to_wire;
use super::applied::{Applied, AppliedTransport, Family, Refusal};
use super::cidr::{self, Cidrs};
use super::desired::{Desired, DesiredTransport};
use super::observed::{Observed, encode_name};
use super::policy;

mod endpoint;
mod front_end;
mod pool;
mod step;

use pool::Pool;
pub(super) use step::Step;

/// What to do, and what the maps hold then.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) applied: Applied,
}

impl Plan {
    /// Whether once more, from what the maps hold then, could bring more into force: what comes is written before what
    /// goes is removed, so on full tables its room is free only afterwards.
    pub(super) fn wants_another(&self) -> bool {
        let mut transports = self.applied.transports.iter();
        let refused = transports.any(|t| !t.refusals.is_empty()) || self.applied.nodes_left_out > 0;
        refused && self.steps.iter().any(Step::removes)
    }
}

/// What is there keeps its numbers; what is not desired goes.
pub(super) fn plan(observed: &Observed, desired: &Desired) -> Plan {
    let mut planner = Planner::new(observed);
    planner.numbers(&desired.transports);
    let transports = desired.transports.iter();
    let mut transports: Vec<_> = transports
        .map(|transport| planner.transport(transport))
        .collect();
    for (transport, applied) in desired.transports.iter().zip(&mut transports) {
        planner.front_ends(transport, applied);
    }
    let nodes_left_out = planner.nodes(desired);
    planner.leftovers();
    let mut steps = planner.steps;
    steps.sort_by_key(Step::rank);
    let applied = Applied {
        transports,
        nodes_left_out,
        without_histograms: Vec::new(),
        writes: steps.len(),
    };
    Plan { steps, applied }
}

struct Planner<'a> {
    observed: &'a Observed,
    steps: Vec<Step>,
    /// Transports by name.
    indexes: HashMap<&'a str, u32>,
    existing: HashMap<EndpointKey, Endpoint>,
    /// Endpoints and front ends given out so far, and to which transport.
    wanted: HashMap<EndpointKey, &'a str>,
    ids: Pool,
    slots: Pool,
    slots_in_use: BTreeSet<u32>,
    zeroed: BTreeSet<u32>,
    room: Room,
}

/// CIDRs that may be added while those that go are still there.
struct Room {
    v4: usize,
    v6: usize,
}

impl<'a> Planner<'a> {
    fn new(observed: &'a Observed) -> Self {
        let endpoints = || observed.endpoints.iter().map(|(_, endpoint)| endpoint);
        Self {
            observed,
            steps: Vec::new(),
            indexes: HashMap::new(),
            existing: observed.endpoints.iter().copied().collect(),
            wanted: HashMap::new(),
            ids: Pool::new(endpoint::IDS, endpoints().map(|e| e.id)),
            slots: Pool::new(endpoint::SLOTS, endpoints().map(|e| e.slot)),
            slots_in_use: BTreeSet::new(),
            zeroed: BTreeSet::new(),
            room: Room::of(observed),
        }
    }

    /// Gives every transport its number: the one it has, or the lowest that is free.
    fn numbers(&mut self, transports: &'a [DesiredTransport]) {
        let known: HashMap<_, _> = self
            .observed
            .transports
            .iter()
            .map(|(i, n)| (n.as_str(), *i))
            .collect();
        let mut free = Pool::new(0..TRANSPORTS, self.observed.transports.keys().copied());
        for name in transports.iter().map(|transport| transport.name.as_str()) {
            if let Some(index) = known.get(name) {
                self.indexes.insert(name, *index);
            } else if let Some(encoded) = encode_name(name)
                && let Some(index) = free.take(0)
            {
                self.indexes.insert(name, index);
                self.zero(index);
                self.steps.push(Step::Name(index, encoded.into()));
            }
        }
    }

    fn transport(&mut self, transport: &'a DesiredTransport) -> AppliedTransport {
        let mut applied = AppliedTransport {
            name: transport.name.clone(),
            index: self.indexes.get(transport.name.as_str()).copied(),
            endpoints: Vec::new(),
            refusals: Vec::new(),
        };
        let Some(index) = applied.index else {
            applied.refusals.push(no_number(&transport.name));
            return applied;
        };
        self.use_slot(index);
        applied.refusals.extend(self.policy(index, transport).err());
        self.endpoints(index, transport, &mut applied);
        applied
    }

    fn policy(&mut self, index: u32, transport: &DesiredTransport) -> Result<(), Refusal> {
        let cidrs = cidr::fold(&transport.policy);
        self.cidrs(index, &cidrs)?;
        let policy = policy::encode(&transport.policy, &cidrs);
        let before = self.observed.policies.get(&index).copied();
        if before.unwrap_or_default() != policy {
            self.steps.push(Step::PutPolicy(index, policy));
        }
        Ok(())
    }

    fn cidrs(&mut self, index: u32, want: &Cidrs) -> Result<(), Refusal> {
        let none = Cidrs::new();
        let have = self.observed.cidrs.get(&index).unwrap_or(&none);
        let changes = cidr::changes(have, want);
        self.room.reserve(
            changes
                .puts
                .iter()
                .map(|(net, _)| net)
                .filter(|net| !have.contains_key(net)),
        )?;
        let puts = changes
            .puts
            .into_iter()
            .map(|(net, flags)| Step::PutCidr(index, net, flags));
        let removals = changes
            .removals
            .into_iter()
            .map(|net| Step::RemoveCidr(index, net));
        self.steps.extend(puts.chain(removals));
        Ok(())
    }

    /// Returns how many found no room.
    fn nodes(&mut self, desired: &Desired) -> usize {
        let have = &self.observed.nodes;
        let want: BTreeSet<_> = desired.nodes.iter().copied().map(to_wire).collect();
        let room = (NODES as usize).saturating_sub(have.len());
        let fresh = want.difference(have);
        let left_out = fresh.clone().count().saturating_sub(room);
        self.steps
            .extend(fresh.take(room).copied().map(Step::PutNode));
        self.steps
            .extend(have.difference(&want).copied().map(Step::RemoveNode));
        left_out
    }

    /// Removes whatever nobody asked for.
    fn leftovers(&mut self) {
        let observed = self.observed;
        let wanted = &self.wanted;
        let live: BTreeSet<_> = self.indexes.values().copied().collect();
        let dead = |index: &u32| !live.contains(index);
        let endpoints = observed
            .endpoints
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| !wanted.contains_key(key));
        self.steps.extend(endpoints.map(Step::RemoveEndpoint));
        let policies = observed.policies.keys().copied().filter(dead);
        self.steps.extend(policies.map(Step::ClearPolicy));
        for (index, cidrs) in observed.cidrs.iter().filter(|(index, _)| dead(index)) {
            let removals = cidr::changes(cidrs, &Cidrs::new()).removals;
            self.steps.extend(
                removals
                    .into_iter()
                    .map(|net| Step::RemoveCidr(*index, net)),
            );
        }
        let histograms = observed.histograms.difference(&self.slots_in_use).copied();
        self.steps.extend(histograms.map(Step::RemoveHistograms));
        let names = observed.transports.keys().copied().filter(dead);
        self.steps.extend(names.map(Step::ClearName));
    }

    /// A slot that is given out counts from zero, whatever it counted before.
    fn zero(&mut self, slot: u32) {
        self.zeroed.insert(slot);
        self.steps.push(Step::ZeroCounters(slot));
        self.steps.push(Step::ZeroHistograms(slot));
    }

    /// Notes that a slot counts, and sees to it that it has histograms.
    fn use_slot(&mut self, slot: u32) {
        let there = self.observed.histograms.contains(&slot) || self.zeroed.contains(&slot);
        if self.slots_in_use.insert(slot) && !there {
            self.steps.push(Step::ZeroHistograms(slot));
        }
    }
}

impl Room {
    fn of(observed: &Observed) -> Self {
        let nets = || observed.cidrs.values().flat_map(BTreeMap::keys);
        let v4 = nets().filter(|net| net.addr().is_ipv4()).count();
        // A full trie refuses even to change an entry, until 6.13: "bpf: Handle in-place update for full LPM trie
        // correctly".
        let most = CIDRS as usize - 1;
        Self {
            v4: most.saturating_sub(v4),
            v6: most.saturating_sub(nets().count() - v4),
        }
    }

    /// All of them or none.
    fn reserve<'n>(&mut self, nets: impl Iterator<Item = &'n IpNet>) -> Result<(), Refusal> {
        let (v4, v6): (Vec<&IpNet>, Vec<&IpNet>) = nets.partition(|net| net.addr().is_ipv4());
        for (family, needed, room) in [
            (Family::V4, v4.len(), self.v4),
            (Family::V6, v6.len(), self.v6),
        ] {
            if needed > room {
                return Err(Refusal::Cidrs {
                    family,
                    needed,
                    room,
                });
            }
        }
        self.v4 -= v4.len();
        self.v6 -= v6.len();
        Ok(())
    }
}

fn no_number(name: &str) -> Refusal {
    match encode_name(name) {
        Some(_) => Refusal::Transports { limit: TRANSPORTS },
        None => Refusal::Name {
            name: name.to_owned(),
            limit: NAME_LEN,
        },
    }
}

#[cfg(test)]
mod tests;
