use std::ops::AddAssign;

use stoq_ebpf_abi::maps::{Counters, Histograms};

use super::Histogram;

/// What a slot has counted, or several slots together.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotStats {
    /// Packets, drops, kinds, events.
    pub counters: Counters,
    /// UDP payload of datagrams both ways, bytes.
    pub size: Histogram,
    /// Durations of handshakes, microseconds.
    pub handshake: Histogram,
    /// Round-trip times, microseconds.
    pub rtt: Histogram,
}

impl Default for SlotStats {
    fn default() -> Self {
        Self {
            counters: Counters::default(),
            size: Histogram::sizes(),
            handshake: Histogram::times(),
            rtt: Histogram::times(),
        }
    }
}

impl SlotStats {
    /// The sum of every CPU's counters, no histogram yet.
    pub(super) fn of(cpus: &[Counters]) -> Self {
        let mut stats = Self::default();
        for counters in cpus {
            add_counters(&mut stats.counters, counters);
        }
        stats.size.set_sum(stats.counters.bytes.iter().sum());
        stats
    }

    pub(super) fn add_histograms(&mut self, cpus: &[Histograms]) {
        for cpu in cpus {
            self.size.add(&cpu.size, 0);
            self.handshake.add(&cpu.handshake, cpu.handshake_sum);
            self.rtt.add(&cpu.rtt, cpu.rtt_sum);
        }
    }
}

impl AddAssign<&Self> for SlotStats {
    fn add_assign(&mut self, other: &Self) {
        add_counters(&mut self.counters, &other.counters);
        self.size += &other.size;
        self.handshake += &other.handshake;
        self.rtt += &other.rtt;
    }
}

fn add_counters(sum: &mut Counters, other: &Counters) {
    add(&mut sum.packets, &other.packets);
    add(&mut sum.bytes, &other.bytes);
    add_table(&mut sum.dropped, &other.dropped);
    add_table(&mut sum.would_drop, &other.would_drop);
    add(&mut sum.kinds, &other.kinds);
    add(&mut sum.events, &other.events);
    sum.flows += other.flows;
}

pub(super) fn add_table<const N: usize, const M: usize>(
    sum: &mut [[u64; N]; M],
    other: &[[u64; N]; M],
) {
    for (sum, other) in sum.iter_mut().zip(other) {
        add(sum, other);
    }
}

pub(super) fn add(sum: &mut [u64], other: &[u64]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(n: u64) -> Counters {
        let mut counters = Counters {
            packets: [n, 2 * n],
            bytes: [10 * n, 20 * n],
            flows: n,
            ..Counters::default()
        };
        counters.dropped[1][3] = n;
        counters.would_drop[0][9] = n;
        counters.kinds[5] = n;
        counters.events[1] = n;
        counters
    }

    fn histograms(n: u64) -> Histograms {
        let mut histograms = Histograms {
            handshake_sum: 5 * n,
            rtt_sum: 3 * n,
            ..Histograms::default()
        };
        histograms.size[2] = n;
        histograms.handshake[5] = n;
        histograms.rtt[3] = n;
        histograms
    }

    #[test]
    fn cpus_are_summed() {
        let mut stats = SlotStats::of(&[counters(1), counters(2), counters(4)]);
        stats.add_histograms(&[histograms(1), histograms(6)]);
        assert_eq!(stats.counters, counters(7));
        assert_eq!((stats.size.sum(), stats.size.count()), (210, 7));
        assert_eq!((stats.handshake.sum(), stats.handshake.count()), (35, 7));
        assert_eq!((stats.rtt.sum(), stats.rtt.count()), (21, 7));
    }

    #[test]
    fn slots_are_summed() {
        let mut both = SlotStats::of(&[counters(1)]);
        both.add_histograms(&[histograms(1)]);
        let mut one = SlotStats::of(&[counters(2)]);
        one.add_histograms(&[histograms(2)]);
        both += &one;
        assert_eq!(both.counters, counters(3));
        assert_eq!((both.size.sum(), both.rtt.count()), (90, 3));
    }
}
