use stoq_ebpf_abi::histogram::{TIME_BITS, index};

use super::*;
use crate::metrics::Connections;
use crate::status::PodStatus;

/// Counters of one slot: packets in, bytes in, handshakes of so many microseconds.
type Counts<'a> = (u64, u64, &'a [u64]);

fn sample(second: i64, number: u32, slots: &[(u32, Counts<'_>)]) -> Sample {
    let mut snapshot = Snapshot::default();
    snapshot.status.transports = vec![TransportStatus {
        namespace: "lab".into(),
        name: "edge".into(),
        index: Some(number),
        slots: vec![number],
        pods: vec![PodStatus {
            slots: vec![90, 91],
            ..PodStatus::default()
        }],
        ..TransportStatus::default()
    }];
    for (slot, (packets, bytes, handshakes)) in slots {
        let mut counted = Slot::default();
        counted.counters.packets[0] = *packets;
        counted.counters.bytes[0] = *bytes;
        counted.counters.dropped[1][2] = packets / 10;
        for microseconds in *handshakes {
            counted.histograms.handshake[index(*microseconds, TIME_BITS)] += 1;
        }
        snapshot.slots.insert(*slot, counted);
    }
    let connections = Connections {
        established: 7,
        ..Connections::default()
    };
    snapshot.connections.insert(number, connections);
    Sample::of(&snapshot, Timestamp::from_second(second).unwrap())
}

fn edge(before: &Sample, after: &Sample) -> TrafficSnapshot {
    traffic(before, after)["lab/edge"].clone()
}

#[test]
fn rates_are_those_of_the_period() {
    let before = sample(100, 3, &[(3, (1000, 100_000, &[]))]);
    let after = sample(150, 3, &[(3, (6000, 600_000, &[]))]);
    let found = edge(&before, &after);
    assert_eq!(
        (
            found.packets_per_second,
            found.bits_per_second,
            found.dropped_per_second
        ),
        (100, 80_000, 10)
    );
    assert_eq!(found.connections, 7);
    assert_eq!(found.sampled_at.0.as_second(), 150);
    assert_eq!((found.handshake_p50, found.rtt_p99), (None, None));
}

#[test]
fn quantiles_forget_what_was_before_the_period() {
    let slow = [1_000_000; 100];
    let mut all = slow.to_vec();
    all.extend([2000; 10]);
    let before = sample(0, 3, &[(3, (100, 0, &slow))]);
    let after = sample(60, 3, &[(3, (110, 0, &all))]);
    let found = edge(&before, &after);
    for text in [found.handshake_p50.unwrap(), found.handshake_p99.unwrap()] {
        let milliseconds: f64 = text.strip_suffix("ms").unwrap().parse().unwrap();
        assert!((1.7..=2.3).contains(&milliseconds), "{text}");
    }
}

#[test]
fn slots_and_transports_that_begin_anew_count_from_zero() {
    let before = sample(0, 3, &[(3, (600, 0, &[])), (90, (50, 0, &[]))]);
    for (case, after, packets) in [
        (
            "the same",
            sample(10, 3, &[(3, (600, 0, &[])), (90, (50, 0, &[]))]),
            0,
        ),
        (
            "a new slot",
            sample(10, 3, &[(3, (600, 0, &[])), (91, (20, 0, &[]))]),
            2,
        ),
        (
            "a slot begun anew",
            sample(10, 3, &[(3, (600, 0, &[])), (90, (30, 0, &[]))]),
            3,
        ),
        (
            "another of the name",
            sample(10, 4, &[(4, (700, 0, &[]))]),
            70,
        ),
    ] {
        assert_eq!(edge(&before, &after).packets_per_second, packets, "{case}");
    }
}

#[test]
fn no_time_is_no_rate() {
    let once = sample(5, 3, &[(3, (600, 0, &[]))]);
    assert!(traffic(&once, &once).is_empty());
}
