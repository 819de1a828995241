//! What the transports' traffic was.

use stoq_ebpf_abi::guard::Reason;
use stoq_ebpf_abi::maps::{Event, Hook};
use stoq_ebpf_abi::parse::Unparsed;
use stoq_ebpf_abi::quic::Kind;

use super::families::{Families, Labels};
use super::registry::{
    BYTES, CONNECTION_EVENTS, CONNECTIONS, DROPPED, Family, HANDSHAKE, PACKETS, QUIC_PACKETS, RTT,
    SIZE, UNPARSED, WOULD_DROP,
};
use super::snapshot::{Connections, Slot, Snapshot};
use super::{histogram, tiers};

/// In the order of [`stoq_ebpf_abi::flow::Direction`].
const DIRECTIONS: [&str; 2] = ["in", "out"];

pub(super) fn add(families: &mut Families, snapshot: &Snapshot) {
    for (labels, slot) in tiers::series(snapshot) {
        volumes(families, &labels, &slot);
        drops(families, &DROPPED, &labels, &slot.counters.dropped);
        drops(families, &WOULD_DROP, &labels, &slot.counters.would_drop);
        opened(families, &labels, &slot);
        histograms(families, &labels, &slot);
    }
    for (labels, now) in tiers::connections(snapshot) {
        connections(families, &labels, &now);
    }
    unparsed(families, snapshot);
}

fn volumes(families: &mut Families, labels: &Labels, slot: &Slot) {
    let counters = &slot.counters;
    for (at, direction) in DIRECTIONS.into_iter().enumerate() {
        families.number(&PACKETS, labels, &[direction], counters.packets[at] as f64);
        families.number(&BYTES, labels, &[direction], counters.bytes[at] as f64);
    }
    for kind in Kind::ALL {
        let count = counters.kinds[kind as usize];
        families.number(&QUIC_PACKETS, labels, &[kind.as_str()], count as f64);
    }
}

fn drops(
    families: &mut Families,
    family: &Family,
    labels: &Labels,
    counts: &[[u64; Reason::COUNT]; Hook::COUNT],
) {
    for hook in Hook::ALL {
        for reason in Reason::ALL {
            let count = counts[hook as usize][reason as usize];
            let values = [hook.as_str(), reason.as_str()];
            families.number(family, labels, &values, count as f64);
        }
    }
}

fn opened(families: &mut Families, labels: &Labels, slot: &Slot) {
    let events = &slot.counters.events;
    for (event, count) in [
        ("opened", events[Event::Opened as usize]),
        ("established", events[Event::Established as usize]),
    ] {
        families.number(&CONNECTION_EVENTS, labels, &[event], count as f64);
    }
}

fn connections(families: &mut Families, labels: &Labels, now: &Connections) {
    for (state, count) in [
        ("handshaking", now.handshaking),
        ("established", now.established),
        ("idle", now.idle),
    ] {
        families.number(&CONNECTIONS, labels, &[state], count as f64);
    }
    for (event, count) in [("idle", now.became_idle), ("evicted", now.evicted)] {
        families.number(&CONNECTION_EVENTS, labels, &[event], count as f64);
    }
}

fn histograms(families: &mut Families, labels: &Labels, slot: &Slot) {
    let from = &slot.histograms;
    // Whatever is in the histogram of sizes is also in the bytes.
    let bytes = slot.counters.bytes.iter().sum();
    families.histogram(&SIZE, labels, histogram::sizes(&from.size, bytes));
    let handshakes = histogram::times(&from.handshake, from.handshake_sum);
    families.histogram(&HANDSHAKE, labels, handshakes);
    let round_trips = histogram::times(&from.rtt, from.rtt_sum);
    families.histogram(&RTT, labels, round_trips);
}

fn unparsed(families: &mut Families, snapshot: &Snapshot) {
    for hook in Hook::ALL {
        for reason in Unparsed::ALL {
            let count = snapshot.unjudged.unparsed[hook as usize][reason as usize];
            let values = [hook.as_str(), reason.as_str()];
            families.number(&UNPARSED, &Labels::new(), &values, count as f64);
        }
    }
}
