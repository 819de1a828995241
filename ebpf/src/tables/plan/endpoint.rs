use std::net::IpAddr;
use std::ops::Range;

use stoq_ebpf_abi::maps::{ENDPOINTS, Endpoint, EndpointKey, TRANSPORTS, endpoint_flag};

use super::{Planner, Step};
use crate::tables::addr::{from_wire, to_wire};
use crate::tables::applied::{AppliedEndpoint, AppliedTransport, Refusal};
use crate::tables::desired::{DesiredEndpoint, DesiredTransport};

/// Ids of endpoints and front ends: as many as the table has entries, so a free id is room for one.
pub(super) const IDS: Range<u32> = 0..ENDPOINTS;
/// Slots of endpoints that count for themselves; those below are the transports'.
pub(super) const SLOTS: Range<u32> = TRANSPORTS..ENDPOINTS;

impl<'a> Planner<'a> {
    pub(super) fn endpoints(
        &mut self,
        index: u32,
        transport: &'a DesiredTransport,
        applied: &mut AppliedTransport,
    ) {
        for desired in &transport.endpoints {
            let key = key(desired.addr, desired.port);
            let before = self.known(key, index, desired.owner);
            let before = before.filter(|before| !before.is_front_end());
            let id = match self.endpoint_id(key, before, desired) {
                Ok(id) => id,
                Err(refusal) => {
                    applied.refusals.push(refusal);
                    continue;
                }
            };
            let own = transport.per_pod_counters.then(|| self.own_slot(before));
            let refused = own == Some(None);
            applied.refusals.extend(refused.then(|| no_slot(desired)));
            let endpoint = Endpoint {
                transport: index,
                id,
                slot: own.flatten().unwrap_or(index),
                flags: flags(desired),
                owner: desired.owner,
                port: key.port,
                pad: 0,
            };
            self.put(key, before, endpoint, &transport.name);
            applied.endpoints.push(placed(desired, &endpoint));
        }
    }

    /// The entry, if it is of the same pod and transport.
    pub(super) fn known(&self, key: EndpointKey, transport: u32, owner: u64) -> Option<Endpoint> {
        let entry = self.existing.get(&key).copied()?;
        (entry.owner == owner && entry.transport == transport).then_some(entry)
    }

    /// A new id leads to the address before anything names it.
    fn endpoint_id(
        &mut self,
        key: EndpointKey,
        before: Option<Endpoint>,
        desired: &DesiredEndpoint,
    ) -> Result<u32, Refusal> {
        // Flows know their endpoint by its id: the owner's keeps it off that of the pod it replaces.
        let id = self.id(key, before, desired.owner)?;
        if before.is_none() {
            self.steps.push(Step::PutAddress(id, key.addr));
        }
        Ok(id)
    }

    /// The id that the entry of this key has, or one that is free: if it can be, `wish`.
    pub(super) fn id(
        &mut self,
        key: EndpointKey,
        before: Option<Endpoint>,
        wish: u64,
    ) -> Result<u32, Refusal> {
        if let Some(by) = self.wanted.get(&key) {
            return Err(taken(key, by));
        }
        if let Some(before) = before {
            return Ok(before.id);
        }
        let id = self.ids.take(wish).ok_or_else(|| no_room(key))?;
        self.steps.push(Step::ClearActivity(id));
        Ok(id)
    }

    /// The slot it has for itself, or one that is free.
    fn own_slot(&mut self, before: Option<Endpoint>) -> Option<u32> {
        let kept = before
            .map(|before| before.slot)
            .filter(|slot| SLOTS.contains(slot));
        if kept.is_some() {
            return kept;
        }
        let slot = self.slots.take(0)?;
        self.zero(slot);
        Some(slot)
    }

    pub(super) fn put(
        &mut self,
        key: EndpointKey,
        before: Option<Endpoint>,
        after: Endpoint,
        name: &'a str,
    ) {
        self.use_slot(after.slot);
        self.wanted.insert(key, name);
        if before != Some(after) {
            self.steps.push(Step::PutEndpoint(key, after));
        }
    }
}

pub(super) fn key(addr: IpAddr, port: u16) -> EndpointKey {
    EndpointKey {
        addr: to_wire(addr),
        port: port.into(),
    }
}

fn flags(endpoint: &DesiredEndpoint) -> u32 {
    all_that_are([
        (endpoint.quic, endpoint_flag::QUIC),
        (endpoint.uplink, endpoint_flag::UPLINK),
        (endpoint.pod_alone, endpoint_flag::POD_ALONE),
        (endpoint.steered, endpoint_flag::STEERED),
    ])
}

pub(super) fn all_that_are<const N: usize>(flags: [(bool, u32); N]) -> u32 {
    let set = flags.iter().filter(|(is, _)| *is);
    set.fold(0, |flags, (_, flag)| flags | flag)
}

fn placed(desired: &DesiredEndpoint, endpoint: &Endpoint) -> AppliedEndpoint {
    AppliedEndpoint {
        addr: desired.addr,
        port: desired.port,
        id: endpoint.id,
        slot: endpoint.slot,
    }
}

fn taken(key: EndpointKey, by: &str) -> Refusal {
    Refusal::Taken {
        addr: from_wire(key.addr),
        port: key.port as u16,
        by: by.to_owned(),
    }
}

fn no_room(key: EndpointKey) -> Refusal {
    Refusal::Endpoints {
        addr: from_wire(key.addr),
        port: key.port as u16,
        limit: IDS.end,
    }
}

fn no_slot(endpoint: &DesiredEndpoint) -> Refusal {
    Refusal::Slots {
        addr: endpoint.addr,
        port: endpoint.port,
        limit: SLOTS.end - SLOTS.start,
    }
}
