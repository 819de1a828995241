//! Traffic between two samples of the counters.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stoq_crds::Timestamp;
use stoq_crds::api::TrafficSnapshot;
use stoq_ebpf_abi::histogram::upper_bound;

use super::{Traffic, whole_seconds};
use crate::metrics::{Slot, Snapshot};
use crate::status::{Status, TransportStatus};

/// What was counted up to a moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    at: Timestamp,
    transports: BTreeMap<String, Counted>,
}

#[derive(Clone, Debug)]
struct Counted {
    index: u32,
    slots: BTreeMap<u32, Slot>,
    connections: u64,
}

impl Sample {
    /// That of a snapshot which was taken now.
    #[must_use]
    pub fn of(snapshot: &Snapshot, now: Timestamp) -> Self {
        let each = snapshot.status.transports.iter();
        let counted = each.filter_map(|one| Some((name(one), counted(snapshot, one)?)));
        Self {
            at: now,
            transports: counted.collect(),
        }
    }

    /// Whether it knows of no transport.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transports.is_empty()
    }

    /// Whether something counts here of which the sample knows nothing.
    #[must_use]
    pub fn lacks(&self, status: &Status) -> bool {
        let mut counting = status.transports.iter();
        counting.any(|one| {
            let Some(index) = one.index else { return false };
            let known = self.transports.get(&name(one));
            let known = known.filter(|known| known.index == index);
            !slots(one).all(|slot| known.is_some_and(|known| known.slots.contains_key(&slot)))
        })
    }

    /// Takes from a later sample what it lacks itself. Counters outlive agents: without what they
    /// were at first, all that was ever counted would be taken for news.
    pub fn learn(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
            return;
        }
        for (name, mut counted) in later.transports {
            let known = self.transports.remove(&name);
            // With another number it is another one of the same name.
            if let Some(known) = known.filter(|known| known.index == counted.index) {
                counted.slots.extend(known.slots);
            }
            self.transports.insert(name, counted);
        }
    }
}

fn name(transport: &TransportStatus) -> String {
    format!("{}/{}", transport.namespace, transport.name)
}

/// Its own and its pods'.
fn slots(transport: &TransportStatus) -> impl Iterator<Item = u32> {
    let pods = transport.pods.iter().flat_map(|pod| &pod.slots);
    transport.slots.iter().chain(pods).copied()
}

fn counted(snapshot: &Snapshot, transport: &TransportStatus) -> Option<Counted> {
    let index = transport.index?;
    let all: BTreeSet<u32> = slots(transport).collect();
    let slot = |number: u32| Some((number, snapshot.slots.get(&number)?.clone()));
    let connections = snapshot.connections.get(&index);
    Some(Counted {
        index,
        slots: all.into_iter().filter_map(slot).collect(),
        connections: connections.map_or(0, |now| now.established),
    })
}

/// Rates and quantiles of what came between the two, by transport; none of those that `before` knows nothing of.
#[must_use]
pub fn traffic(before: &Sample, after: &Sample) -> Traffic {
    let seconds = (after.at.as_millisecond() - before.at.as_millisecond()) as f64 / 1e3;
    if seconds <= 0.0 {
        return Traffic::new();
    }
    let at = whole_seconds(after.at);
    let each = after.transports.iter().filter_map(|(name, now)| {
        let was = before.transports.get(name)?;
        let same = was.index == now.index;
        same.then(|| (name.clone(), told(was, now, seconds, &at)))
    });
    each.collect()
}

fn told(was: &Counted, now: &Counted, seconds: f64, at: &Time) -> TrafficSnapshot {
    let mut sum = Slot::default();
    for (number, slot) in &now.slots {
        if let Some(was) = was.slots.get(number) {
            sum.add(&since(was, slot));
        }
    }
    let rate = |count: u64| (count as f64 / seconds).round() as i64;
    let counters = &sum.counters;
    let (handshake, rtt) = (&sum.histograms.handshake, &sum.histograms.rtt);
    TrafficSnapshot {
        packets_per_second: rate(counters.packets.iter().sum()),
        bits_per_second: rate(counters.bytes.iter().sum::<u64>() * 8),
        dropped_per_second: rate(counters.dropped.as_flattened().iter().sum()),
        connections: i64::try_from(now.connections).unwrap_or(i64::MAX),
        handshake_p50: quantile(handshake, 0.5).map(duration),
        handshake_p99: quantile(handshake, 0.99).map(duration),
        rtt_p50: quantile(rtt, 0.5).map(duration),
        rtt_p95: quantile(rtt, 0.95).map(duration),
        rtt_p99: quantile(rtt, 0.99).map(duration),
        sampled_at: at.clone(),
    }
}

/// What a slot has counted since. One that counts less than before has begun anew.
fn since(was: &Slot, now: &Slot) -> Slot {
    let packets = |slot: &Slot| slot.counters.packets.iter().sum::<u64>();
    let mut news = now.clone();
    if packets(was) > packets(now) {
        return news;
    }
    let (counters, old) = (&mut news.counters, &was.counters);
    subtract(&mut counters.packets, &old.packets);
    subtract(&mut counters.bytes, &old.bytes);
    subtract(
        counters.dropped.as_flattened_mut(),
        old.dropped.as_flattened(),
    );
    subtract(&mut news.histograms.handshake, &was.histograms.handshake);
    subtract(&mut news.histograms.rtt, &was.histograms.rtt);
    news
}

/// CPUs are read one after the other, so one may seem to go back.
fn subtract(now: &mut [u64], before: &[u64]) {
    for (now, before) in now.iter_mut().zip(before) {
        *now = now.saturating_sub(*before);
    }
}

/// Microseconds below which the share `q` of all values lies; `None` of nothing.
fn quantile(buckets: &[u64], q: f64) -> Option<f64> {
    let rank = q * buckets.iter().sum::<u64>() as f64;
    let (mut lower, mut below) = (0, 0.0);
    for (index, count) in buckets.iter().enumerate() {
        let (upper, count) = (upper_bound(index), *count as f64);
        if count > 0.0 && below + count >= rank {
            return Some(lower as f64 + (rank - below) / count * (upper - lower) as f64);
        }
        (lower, below) = (upper, below + count);
    }
    None
}

/// In milliseconds, so that anybody can compare two.
fn duration(microseconds: f64) -> String {
    format!("{:.2}ms", microseconds / 1e3)
}

#[cfg(test)]
mod tests;
