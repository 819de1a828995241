use std::collections::BTreeMap;
use std::time::Duration;

use stoq_ebpf::stats::SlotStats;
use stoq_ebpf_abi::histogram::{TIME_BITS, TIME_BUCKETS, index};
use stoq_ebpf_abi::maps::{Counters, Histograms, Unjudged};

use super::{AfXdp, Process};
use crate::status::Status;

/// What the metrics are made of.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What the agent says of itself; says also which slots belong to whom.
    pub status: Status,
    /// Counter slots by number. One that the status names and that is not here counts as zero.
    pub slots: BTreeMap<u32, Slot>,
    /// Connections by index of their transport.
    pub connections: BTreeMap<u32, Connections>,
    /// Sessions of pods with AF_XDP sockets.
    pub af_xdp: AfXdp,
    /// Packets left to the kernel, all CPUs together.
    pub unjudged: Unjudged,
    /// Runs of programs, where the kernel counts them. Those of one name are added up.
    pub programs: Vec<ProgramRuns>,
    /// Kernel memory of maps and programs in bytes, if known.
    pub bpf_memory: Option<u64>,
    /// The agent's passes.
    pub reconciles: Reconciles,
    /// The agent as a process, if known.
    pub process: Option<Process>,
}

/// What one slot has counted, all CPUs together.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// Counters.
    pub counters: Counters,
    /// Histograms.
    pub histograms: Histograms,
}

/// The connections of a transport, from sweeps of the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Handshaking now.
    pub handshaking: u64,
    /// Established now and not silent.
    pub established: u64,
    /// Established now and silent for 30 s.
    pub idle: u64,
    /// How often one became idle, ever.
    pub became_idle: u64,
    /// How many were forgotten, ever.
    pub evicted: u64,
}

/// What a program has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramRuns {
    /// Its name.
    pub program: String,
    /// How long it ran.
    pub time: Duration,
    /// How often.
    pub runs: u64,
}

/// The agent's passes since it started.
#[derive(Clone, Debug)]
pub struct Reconciles {
    pub(super) buckets: [u64; TIME_BUCKETS],
    pub(super) sum: Duration,
    pub(super) errors: BTreeMap<String, u64>,
}

impl Reconciles {
    /// Notes a pass, successful or not.
    pub fn record(&mut self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[index(microseconds, TIME_BITS)] += 1;
        self.sum += took;
    }

    /// Notes that a step of a pass did not succeed.
    pub fn fail(&mut self, step: &str) {
        *self.errors.entry(step.to_owned()).or_default() += 1;
    }
}

impl Default for Reconciles {
    fn default() -> Self {
        Self {
            buckets: [0; TIME_BUCKETS],
            sum: Duration::ZERO,
            errors: BTreeMap::new(),
        }
    }
}

impl From<&SlotStats> for Slot {
    fn from(stats: &SlotStats) -> Self {
        let histograms = Histograms {
            size: counts(stats.size.cumulative()),
            handshake: counts(stats.handshake.cumulative()),
            rtt: counts(stats.rtt.cumulative()),
            handshake_sum: stats.handshake.sum(),
            rtt_sum: stats.rtt.sum(),
        };
        Self {
            counters: stats.counters,
            histograms,
        }
    }
}

impl Slot {
    /// Adds what another slot has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.add_counters(&other.counters);
        self.add_histograms(&other.histograms);
    }

    fn add_counters(&mut self, other: &Counters) {
        let sum = &mut self.counters;
        add(&mut sum.packets, &other.packets);
        add(&mut sum.bytes, &other.bytes);
        add(sum.dropped.as_flattened_mut(), other.dropped.as_flattened());
        add(
            sum.would_drop.as_flattened_mut(),
            other.would_drop.as_flattened(),
        );
        add(&mut sum.kinds, &other.kinds);
        add(&mut sum.events, &other.events);
        sum.flows += other.flows;
    }

    fn add_histograms(&mut self, other: &Histograms) {
        let sum = &mut self.histograms;
        add(&mut sum.size, &other.size);
        add(&mut sum.handshake, &other.handshake);
        add(&mut sum.rtt, &other.rtt);
        sum.handshake_sum += other.handshake_sum;
        sum.rtt_sum += other.rtt_sum;
    }
}

impl Connections {
    /// Adds those of another transport.
    pub(super) fn add(&mut self, other: &Self) {
        self.handshaking += other.handshaking;
        self.established += other.established;
        self.idle += other.idle;
        self.became_idle += other.became_idle;
        self.evicted += other.evicted;
    }
}

fn add(sums: &mut [u64], others: &[u64]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

/// What each bucket holds, of buckets that hold also what lies below.
fn counts<const N: usize>(cumulative: impl Iterator<Item = (u64, u64)>) -> [u64; N] {
    let mut counts = [0; N];
    let mut before = 0;
    for (count, (_, below)) in counts.iter_mut().zip(cumulative) {
        *count = below - before;
        before = below;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_back_from_their_sums() {
        let cumulative = [(1, 2), (2, 2), (3, 7)];
        assert_eq!(counts(cumulative.into_iter()), [2, 0, 5]);
    }
}
