//! Where established flows were heard of lately.

use std::collections::HashSet;

use stoq_ebpf_abi::hint::{HINT_LINES, lately, place, seconds};
use stoq_ebpf_abi::maps::FlowKey;
use stoq_ebpf_abi::parse::mapped;

const SECOND: u64 = 1 << 30;
/// A node that is up for a year.
const NOW: u64 = 365 * 24 * 3600 * SECOND;

fn key(number: u32) -> FlowKey {
    FlowKey {
        transport: 3,
        peer: mapped((0x0a00_0000 + (number >> 4)).to_be()),
        ports: (30_000 + (number & 15)) << 16 | 4433,
    }
}

#[test]
fn a_flow_is_heard_of_for_as_long_as_it_may_be_remembered() {
    for (what, heard, expected) in [
        ("never", 0, false),
        ("now", seconds(NOW), true),
        ("the agent forgets it", seconds(NOW - 320 * SECOND), true),
        ("long ago", seconds(NOW - 400 * SECOND), false),
        ("another CPU is ahead", seconds(NOW + SECOND), true),
        ("for ever", u32::MAX, true),
    ] {
        assert_eq!(lately(heard, NOW), expected, "{what}");
    }
}

#[test]
fn flows_spread_over_the_places() {
    let places: HashSet<_> = (0..1000).map(|number| place(&key(number))).collect();
    assert!(places.len() > 950, "{}", places.len());
    assert!(
        places
            .iter()
            .all(|place| place.line < HINT_LINES && place.at < 16)
    );
}
