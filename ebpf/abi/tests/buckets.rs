//! Rates and bursts, over simulated time.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod packets;

use packets::Offloaded;
use packets::node::{Fate, Node};
use packets::quic::{initial, short};
use packets::table::{self, CLIENT, SERVER, node};
use packets::udp;
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::guard::Reason;
use stoq_ebpf_abi::maps::Policy;

const SECOND: u64 = 1_000_000_000;
/// Sixteenths of a nanosecond in a second.
const UNITS: u64 = 16 * SECOND;

/// The table's node with only these limits for its QUIC transport.
fn limited(change: impl Fn(&mut Policy)) -> Node {
    let mut node = node();
    let policy = node.policies.get_mut(&0).unwrap();
    *policy = Policy {
        mode: policy.mode,
        source_v4: u32::MAX,
        burst: UNITS,
        ..Policy::default()
    };
    change(policy);
    node
}

fn data(source: &str) -> Vec<u8> {
    udp(source, SERVER).payload(short(false, 100)).frame()
}

/// How many of the frames pass that come every `gap` ns from `start` to `end`.
fn admitted<B: Bytes + ?Sized>(
    node: &mut Node,
    frame: &B,
    (start, end): (u64, u64),
    gap: u64,
) -> u64 {
    let times = (start..end).step_by(gap as usize);
    times
        .filter(|now| node.pod(frame, *now) == Fate::Passed)
        .count() as u64
}

/// Within one per cent.
#[track_caller]
fn about(found: u64, expected: u64) {
    let off = found.abs_diff(expected);
    assert!(off * 100 <= expected, "{found} instead of {expected}");
}

#[test]
fn a_source_gets_its_rate_and_a_burst_of_its_depth_once() {
    for (rate, burst, offered) in [
        (200, UNITS, 5_000),
        (2_000, UNITS / 10, 10_000),
        (2_000, UNITS * 10, 4_100),
    ] {
        let mut node = limited(|policy| {
            (policy.source_packet, policy.burst) = (UNITS / rate, burst);
        });
        let frame = data(CLIENT);
        let gap = SECOND / offered;
        let start = 7 * SECOND;
        let depth = rate * burst / UNITS;
        // The burst lasts as long as the surplus takes to drain it.
        let draining = depth * SECOND / (offered - rate);
        let burst = admitted(&mut node, &frame[..], (start, start + draining), gap);
        about(burst, depth + rate * draining / SECOND);
        let later = start + draining + SECOND;
        admitted(&mut node, &frame[..], (start + draining, later), gap);
        let steady = admitted(&mut node, &frame[..], (later, later + 5 * SECOND), gap);
        about(steady, 5 * rate);
        // Silence fills the bucket again, and not beyond its depth.
        let much_later = later + 1000 * SECOND;
        let again = (much_later, much_later + draining);
        about(
            admitted(&mut node, &frame[..], again, gap),
            depth + rate * draining / SECOND,
        );
    }
}

#[test]
fn at_its_rate_or_below_a_source_loses_nothing() {
    let mut node = limited(|policy| policy.source_packet = UNITS / 1000);
    let frame = data(CLIENT);
    let gap = SECOND / 1000;
    let passed = admitted(&mut node, &frame[..], (SECOND, 21 * SECOND), gap);
    assert_eq!(passed, 20_000);
}

#[test]
fn all_unestablished_sources_share_one_rate() {
    let mut node = limited(|policy| policy.unestablished_packet = UNITS / 5_000);
    let start = 100 * SECOND;
    let mut passed = 0;
    let sources = (0..1000).map(|i| data(&format!("10.0.{}.{}:999", i / 250, i % 250)));
    let sources: Vec<_> = sources.collect();
    // 20 packets a second each; the first second drains the bucket.
    for tick in 0..100_000 {
        let now = start + tick * SECOND / 20_000;
        let fate = node.pod(&sources[tick as usize % 1000][..], now);
        passed += u64::from(fate == Fate::Passed && now >= start + SECOND);
    }
    about(passed, 4 * 5_000);
}

#[test]
fn an_established_flow_passes_unharmed_by_a_flood() {
    let mut node = limited(|policy| policy.unestablished_packet = UNITS / 100);
    let (flood, flow) = (data(CLIENT), data(table::ESTABLISHED));
    let mut dropped = 0;
    for now in (SECOND..2 * SECOND).step_by(20_000) {
        let fate = node.pod(&flood[..], now);
        dropped += u64::from(fate == Fate::Dropped(Reason::UnestablishedRate));
        assert_eq!(node.pod(&flow[..], now), Fate::Passed);
    }
    about(dropped, 50_000 - 200);
}

#[test]
fn initials_have_a_rate_of_their_own() {
    let mut node = limited(|policy| {
        policy.source_packet = UNITS / 10_000;
        policy.source_initial = UNITS / 100;
    });
    let (hello, data) = (table::hello(CLIENT, SERVER).frame(), data(CLIENT));
    let mut passed = 0;
    for now in (SECOND..12 * SECOND).step_by(1_000_000) {
        let fate = node.pod(&hello[..], now);
        passed += u64::from(fate == Fate::Passed && now >= 2 * SECOND);
        assert_eq!(node.pod(&data[..], now), Fate::Passed);
    }
    about(passed, 10 * 100);
}

#[test]
fn every_segment_of_a_train_costs_a_token() {
    let mut node = limited(|policy| policy.source_packet = UNITS / 1_000);
    let frame = udp(CLIENT, SERVER).payload(vec![0x40; 4_000]).frame();
    let train = Offloaded {
        bytes: &frame,
        segments: 40,
        segment_size: 100,
    };
    // 200 trains a second are 8,000 packets: eight times too many.
    admitted(&mut node, &train, (SECOND, 3 * SECOND), SECOND / 200);
    let trains = admitted(&mut node, &train, (3 * SECOND, 13 * SECOND), SECOND / 200);
    about(trains * 40, 10 * 1_000);
}

#[test]
fn a_train_above_the_bucket_s_depth_is_let_through_and_paid_for_later() {
    let mut node = limited(|policy| {
        (policy.source_packet, policy.burst) = (UNITS / 100, UNITS / 10);
    });
    let frame = udp(CLIENT, SERVER).payload(vec![0x40; 4_000]).frame();
    let train = Offloaded {
        bytes: &frame,
        segments: 40,
        segment_size: 100,
    };
    let steps = (SECOND..41 * SECOND).step_by(SECOND as usize / 100);
    let trains = steps
        .filter(|now| node.pod(&train, *now) == Fate::Passed)
        .count() as u64;
    about(trains * 40, 40 * 100);
}

#[test]
fn sources_are_as_wide_as_their_prefix() {
    let mut node = limited(|policy| {
        policy.source_packet = UNITS / 10;
        policy.source_v4 = u32::from_be(0xffff_ff00);
    });
    let near = ["10.1.1.1:9", "10.1.1.200:9"].map(data);
    let far = data("10.1.2.1:9");
    let passed: u64 = near
        .iter()
        .map(|frame| admitted(&mut node, &frame[..], (SECOND, SECOND + 100), 1))
        .sum();
    assert_eq!(passed, 10, "both in one bucket");
    assert_eq!(admitted(&mut node, &far[..], (SECOND, SECOND + 100), 1), 10);
}

#[test]
fn each_hook_has_its_own_buckets() {
    let mut node = limited(|policy| {
        (policy.source_packet, policy.unestablished_packet) = (UNITS / 10, UNITS / 10);
    });
    let frame = data(CLIENT);
    for _ in 0..10 {
        assert_eq!(node.uplink(&frame[..], SECOND), Fate::Passed);
        assert_eq!(node.pod(&frame[..], SECOND), Fate::Passed);
    }
    assert!(matches!(node.uplink(&frame[..], SECOND), Fate::Dropped(_)));
}

#[test]
fn what_is_dropped_costs_nothing() {
    let mut node = limited(|policy| {
        policy.flags = stoq_ebpf_abi::maps::policy_flag::VALIDATE_INITIAL;
        (policy.source_packet, policy.unestablished_packet) = (UNITS / 10, UNITS / 10);
    });
    let bad = udp(CLIENT, SERVER).payload(initial().filling(1100)).frame();
    for _ in 0..1000 {
        assert_eq!(
            node.pod(&bad[..], SECOND),
            Fate::Dropped(Reason::ShortInitial)
        );
    }
    assert_eq!(
        admitted(&mut node, &data(CLIENT)[..], (SECOND, SECOND + 100), 1),
        10
    );
}
