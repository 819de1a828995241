//! Counters and histograms, on the maps of the real object.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

#[path = "support/maps.rs"]
mod maps;
mod support;

use std::time::Instant;

use aya::Pod;
use aya::maps::{PerCpuArray, PerCpuHashMap, PerCpuValues};
use stoq_ebpf::loader::Options;
use stoq_ebpf::stats::{self, SlotStats, Stats};
use stoq_ebpf::tables::{Desired, DesiredTransport, PolicySpec, Tables};
use stoq_ebpf_abi::maps::{Counters, Histograms, TRANSPORTS, Unjudged};
use support::in_scratch;

/// A value for each CPU, made of the CPU's number plus one.
fn on_cpus<V: Pod>(value: impl Fn(u64) -> V) -> PerCpuValues<V> {
    let cpus = aya::util::nr_cpus().unwrap() as u64;
    PerCpuValues::try_from((1..=cpus).map(value).collect::<Vec<_>>()).unwrap()
}

fn total() -> u64 {
    let cpus = aya::util::nr_cpus().unwrap() as u64;
    (1..=cpus).sum()
}

#[test]
fn all_cpus_are_summed() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let mut counters =
            PerCpuArray::<_, Counters>::try_from(maps::open(&maps, "STOQ_COUNTERS")).unwrap();
        let one = |n| Counters {
            bytes: [n, 2 * n],
            ..Counters::default()
        };
        counters.set(3, on_cpus(one), 0).unwrap();
        let mut histograms =
            PerCpuHashMap::<_, u32, Histograms>::try_from(maps::open(&maps, "STOQ_HISTOGRAMS"))
                .unwrap();
        let one = |n| {
            let mut histograms = Histograms {
                rtt_sum: 7 * n,
                ..Histograms::default()
            };
            histograms.rtt[7] = n;
            histograms
        };
        histograms.insert(3, on_cpus(one), 0).unwrap();
        let read = Stats::open(&maps).unwrap().read(3).unwrap();
        assert_eq!(read.counters.bytes, [total(), 2 * total()]);
        assert_eq!(read.size.sum(), 3 * total());
        assert_eq!((read.rtt.count(), read.rtt.sum()), (total(), 7 * total()));
    });
}

#[test]
fn a_slot_nobody_counts_in_has_counted_nothing() {
    in_scratch(|scratch| {
        let stats = Stats::open(&maps::load(scratch, &Options::default())).unwrap();
        assert_eq!(stats.read(1023).unwrap(), SlotStats::default());
        assert!(stats.read(1024).is_err(), "there are no more");
    });
}

#[test]
fn what_was_left_unjudged_is_summed() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let mut unjudged =
            PerCpuArray::<_, Unjudged>::try_from(maps::open(&maps, "STOQ_UNJUDGED")).unwrap();
        let one = |n| Unjudged {
            unparsed: [[n, 0, 0], [0, n, 2 * n]],
        };
        unjudged.set(0, on_cpus(one), 0).unwrap();
        let expected = [[total(), 0, 0], [0, total(), 2 * total()]];
        assert_eq!(
            Stats::open(&maps).unwrap().unjudged().unwrap().unparsed,
            expected
        );
    });
}

#[test]
fn reading_every_transport_is_cheap() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let transports = (0..TRANSPORTS).map(|n| DesiredTransport {
            name: format!("default/t{n}"),
            policy: PolicySpec::default(),
            per_pod_counters: false,
            endpoints: Vec::new(),
            front_ends: Vec::new(),
        });
        let desired = Desired {
            transports: transports.collect(),
            nodes: Vec::new(),
        };
        maps::apply(&mut Tables::open(&maps).unwrap(), &desired);
        let stats = Stats::open(&maps).unwrap();
        let began = Instant::now();
        for slot in 0..TRANSPORTS {
            stats.read(slot).unwrap();
        }
        let each = began.elapsed() / TRANSPORTS;
        eprintln!("{each:?} each");
        assert!(each.as_micros() < 1000, "{each:?}");
    });
}

#[test]
fn memory_is_that_of_all_maps() {
    in_scratch(|scratch| {
        let bytes = stats::memory(&maps::load(scratch, &Options::default())).unwrap();
        // The flow and source tables alone take this much.
        assert!(bytes > 65_536 * (112 + 24) + 65_536 * (16 + 20), "{bytes}");
        assert!(stats::memory(&scratch.bpffs.join("nowhere")).is_err());
    });
}
