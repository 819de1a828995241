//! Which slots make one series, by the tier of their transport.

use std::collections::{BTreeMap, BTreeSet};

use super::families::Labels;
use super::snapshot::{Connections, Slot, Snapshot};
use crate::status::TransportStatus;

/// The series of all transports: their labels and what they have counted.
pub(super) fn series(snapshot: &Snapshot) -> BTreeMap<Labels, Slot> {
    let mut series = BTreeMap::<Labels, Slot>::new();
    for transport in &snapshot.status.transports {
        for (pod, slot) in owners(transport) {
            let sum = series.entry(labels(transport, pod)).or_default();
            if let Some(slot) = snapshot.slots.get(&slot) {
                sum.add(slot);
            }
        }
    }
    series
}

/// Connections are counted per transport only: flows are swept as they are keyed.
pub(super) fn connections(snapshot: &Snapshot) -> BTreeMap<Labels, Connections> {
    let mut series = BTreeMap::<Labels, Connections>::new();
    for transport in &snapshot.status.transports {
        let Some(index) = transport.index else {
            continue;
        };
        let mut labels = labels(transport, "");
        labels.retain(|(name, _)| *name != "pod");
        let sum = series.entry(labels).or_default();
        if let Some(connections) = snapshot.connections.get(&index) {
            sum.add(connections);
        }
    }
    series
}

/// The transport's slots, each once, and the pod whose own it is. What counts in the transport's own slot, for want
/// of another, is nobody's, so that the pods and nobody together are always the whole transport.
fn owners(transport: &TransportStatus) -> impl Iterator<Item = (&str, u32)> {
    let shared = transport.index;
    let pods = transport.pods.iter().flat_map(move |pod| {
        let own = pod.slots.iter().filter(move |slot| Some(**slot) != shared);
        own.map(|slot| (pod.name.as_str(), *slot))
    });
    let rest = transport.slots.iter().map(|slot| ("", *slot));
    let mut seen = BTreeSet::new();
    pods.chain(rest).filter(move |(_, slot)| seen.insert(*slot))
}

fn labels(transport: &TransportStatus, pod: &str) -> Labels {
    let mut labels = Labels::new();
    if transport.tier == "Node" {
        return labels;
    }
    labels.push(("namespace", transport.namespace.clone()));
    labels.push(("transport", transport.name.clone()));
    if transport.tier == "Pod" {
        labels.push(("pod", pod.to_owned()));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::PodStatus;

    #[test]
    fn a_tier_decides_what_a_series_stands_for() {
        let cases: [(&str, &[(&str, u64)]); 3] = [
            ("Node", &[("", 10)]),
            ("Transport", &[("default edge", 10)]),
            (
                "Pod",
                &[
                    ("default edge ", 1),
                    ("default edge default/a", 2),
                    ("default edge default/b", 7),
                ],
            ),
        ];
        for (tier, expected) in cases {
            let found = series(&snapshot(&[transport("edge", 0, tier)]));
            assert_eq!(counts(&found), to_vec(expected), "{tier}");
        }
    }

    #[test]
    fn transports_of_the_tier_node_share_one_series() {
        let mut other = transport("other", 9, "Node");
        other.pods.clear();
        other.slots = vec![9];
        let found = series(&snapshot(&[transport("edge", 0, "Node"), other]));
        assert_eq!(counts(&found), to_vec(&[("", 10 + 10)]));
    }

    #[test]
    fn a_pod_without_a_slot_of_its_own_counts_for_nobody() {
        let mut edge = transport("edge", 0, "Pod");
        edge.slots = vec![0, 1];
        edge.pods[1].slots = vec![0];
        let found = series(&snapshot(&[edge]));
        let expected = [("default edge ", 1), ("default edge default/a", 2)];
        assert_eq!(counts(&found), to_vec(&expected));
    }

    #[test]
    fn connections_have_no_pod() {
        for (tier, expected) in [("Node", 0), ("Transport", 2), ("Pod", 2)] {
            let mut snapshot = snapshot(&[transport("edge", 5, tier)]);
            let some = Connections {
                idle: 3,
                ..Connections::default()
            };
            snapshot.connections.insert(5, some);
            let found = connections(&snapshot);
            let found: Vec<_> = found.iter().map(|(l, c)| (l.len(), *c)).collect();
            assert_eq!(found, [(expected, some)], "{tier}");
        }
    }

    #[test]
    fn a_refused_transport_has_no_series() {
        let refused = TransportStatus {
            tier: "Transport".to_owned(),
            ..TransportStatus::default()
        };
        assert!(series(&snapshot(&[refused])).is_empty());
    }

    /// Slot n has n + 1 packets.
    fn snapshot(transports: &[TransportStatus]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.status.transports = transports.to_vec();
        for number in 0..10 {
            let mut slot = Slot::default();
            slot.counters.packets[0] = u64::from(number) + 1;
            snapshot.slots.insert(number, slot);
        }
        snapshot
    }

    fn transport(name: &str, index: u32, tier: &str) -> TransportStatus {
        TransportStatus {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            tier: tier.to_owned(),
            index: Some(index),
            slots: vec![0, 1, 2, 3],
            pods: vec![pod("default/a", &[1]), pod("default/b", &[2, 3])],
            ..TransportStatus::default()
        }
    }

    fn pod(name: &str, slots: &[u32]) -> PodStatus {
        PodStatus {
            name: name.to_owned(),
            slots: slots.to_vec(),
            ..PodStatus::default()
        }
    }

    fn counts(series: &BTreeMap<Labels, Slot>) -> Vec<(String, u64)> {
        let values = |labels: &Labels| {
            let values: Vec<_> = labels.iter().map(|(_, value)| value.as_str()).collect();
            values.join(" ")
        };
        let series = series.iter();
        series
            .map(|(labels, slot)| (values(labels), slot.counters.packets[0]))
            .collect()
    }

    fn to_vec(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        let expected = expected.iter();
        expected
            .map(|(labels, count)| ((*labels).to_owned(), *count))
            .collect()
    }
}
