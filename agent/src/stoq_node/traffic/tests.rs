use stoq_ebpf_abi::histogram::{TIME_BITS, index};

use super::*;
use crate::metrics::Connections;
use crate::status::PodStatus;

/// Counters of one slot: packets in, bytes in, handshakes of so many microseconds.
type Counts<'a> = (u64, u64, &'a [u64]);

/// A transport of this number, whose pod has these slots.
fn status(number: u32, pod: &[u32]) -> Status {
    let transport = TransportStatus {
        namespace: "lab".into(),
        name: "edge".into(),
        index: Some(number),
        slots: vec![number],
        pods: vec![PodStatus {
            slots: pod.to_vec(),
            ..PodStatus::default()
        }],
        ..TransportStatus::default()
    };
    Status {
        transports: vec![transport],
        ..Status::default()
    }
}

fn sample(second: i64, number: u32, slots: &[(u32, Counts<'_>)]) -> Sample {
    let mut snapshot = Snapshot {
        status: status(number, &[90, 91]),
        ..Snapshot::default()
    };
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
fn only_what_came_since_a_slot_was_first_seen_counts() {
    let before = sample(0, 3, &[(3, (600, 0, &[])), (90, (50, 0, &[]))]);
    for (case, after, packets) in [
        (
            "the same",
            sample(10, 3, &[(3, (600, 0, &[])), (90, (50, 0, &[]))]),
            0,
        ),
        (
            "a slot not seen before",
            sample(10, 3, &[(3, (700, 0, &[])), (91, (1_000_000, 0, &[]))]),
            10,
        ),
        (
            "a slot begun anew",
            sample(10, 3, &[(3, (600, 0, &[])), (90, (30, 0, &[]))]),
            3,
        ),
    ] {
        assert_eq!(edge(&before, &after).packets_per_second, packets, "{case}");
    }
    let other = sample(10, 4, &[(4, (700, 0, &[]))]);
    assert!(traffic(&before, &other).is_empty(), "another of the name");
}

#[test]
fn counters_of_an_earlier_agent_are_no_news() {
    let ever = 1_000_000_000;
    let mut before = Sample::default();
    let passed = status(3, &[90]);
    assert!(before.lacks(&passed));
    before.learn(sample(1, 3, &[(3, (ever, 0, &[])), (90, (ever, 0, &[]))]));
    assert!(!before.lacks(&passed));
    let after = [(3, (ever + 50, 0, &[][..])), (90, (ever + 50, 0, &[]))];
    let after = sample(11, 3, &after);
    assert_eq!(edge(&before, &after).packets_per_second, 10);
}

#[test]
fn what_is_known_stays_when_more_is_learnt() {
    let mut before = sample(0, 3, &[(3, (100, 0, &[]))]);
    assert!(before.lacks(&status(3, &[91])));
    before.learn(sample(9, 3, &[(3, (190, 0, &[])), (91, (7, 0, &[]))]));
    let after = sample(10, 3, &[(3, (200, 0, &[])), (91, (17, 0, &[]))]);
    assert_eq!(edge(&before, &after).packets_per_second, 11);
    assert!(before.lacks(&status(4, &[])), "another of the name");
    before.learn(sample(10, 4, &[(4, (5, 0, &[]))]));
    assert!(!before.lacks(&status(4, &[])));
    let after = sample(20, 4, &[(4, (25, 0, &[]))]);
    assert_eq!(edge(&before, &after).packets_per_second, 1);
    let elsewhere = status(3, &[]).transports.into_iter();
    let elsewhere = elsewhere.map(|one| TransportStatus { index: None, ..one });
    let transports = elsewhere.collect();
    let nothing = Status {
        transports,
        ..Status::default()
    };
    assert!(!before.lacks(&nothing), "nothing of it counts here");
}

#[test]
fn no_time_is_no_rate() {
    let once = sample(5, 3, &[(3, (600, 0, &[]))]);
    assert!(traffic(&once, &once).is_empty());
}
