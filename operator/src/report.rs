//! What the agent of a node says, kept small: thousands of nodes speak of tens of transports each.

use std::sync::Arc;
use std::time::Duration;

use stoq_crds::api::{NodeTransport, StoqNode, TrafficSnapshot};
use stoq_crds::{ObjectName, Timestamp};

use crate::labels::{self, Abilities};
use crate::quantile;
use crate::rung::Rung;
use crate::seconds;
use crate::words::Words;

/// A node's report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// When the agent last wrote, by its own clock; `None`: never.
    pub(crate) reported_at: Option<Timestamp>,
    /// By name of the transport.
    pub(crate) entries: Vec<Entry>,
    pub(crate) abilities: Abilities,
}

/// What it says of one transport.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) transport: Arc<ObjectName>,
    pub(crate) generation: i64,
    pub(crate) ready: bool,
    pub(crate) degraded: bool,
    pub(crate) rung: Rung,
    pub(crate) reason: Arc<str>,
    pub(crate) message: Arc<str>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) af_xdp: bool,
    pub(crate) traffic: Option<Box<Traffic>>,
}

/// A sample of the traffic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Traffic {
    /// Packets, bits, drops per second, connections.
    pub(crate) sums: [i64; 4],
    /// Handshake p50 and p99, round trip p50, p95 and p99.
    pub(crate) times: [Option<Duration>; 5],
    pub(crate) sampled_at: Timestamp,
}

impl Report {
    /// Takes what is needed of the object.
    pub(crate) fn read(object: StoqNode, words: &mut Words) -> Self {
        let status = object.status.unwrap_or_default();
        let abilities = labels::abilities(&status);
        let transports = status.transports.into_iter();
        let mut entries: Vec<_> = transports.map(|one| Entry::read(one, words)).collect();
        entries.sort_by(|a, b| a.transport.cmp(&b.transport));
        entries.shrink_to_fit();
        Self {
            reported_at: status.reported_at.map(|time| seconds::whole(time.0)),
            entries,
            abilities,
        }
    }

    /// What it says of the transport.
    pub(crate) fn entry(&self, name: &ObjectName) -> Option<&Entry> {
        let found = self
            .entries
            .binary_search_by(|one| (*one.transport).cmp(name));
        self.entries.get(found.ok()?)
    }

    /// Transports of which one of the two says what the other does not.
    pub(crate) fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a ObjectName> {
        let differs = |in_other: &'a Self| {
            move |one: &&'a Entry| in_other.entry(&one.transport) != Some(*one)
        };
        let own = self.entries.iter().filter(differs(other));
        let others = other.entries.iter().filter(differs(self));
        own.chain(others).map(|one| &*one.transport)
    }
}

impl Entry {
    fn read(from: NodeTransport, words: &mut Words) -> Self {
        Self {
            transport: words.name(from.namespace, from.name),
            generation: from.generation,
            ready: from.ready,
            degraded: from.degraded,
            rung: Rung::parse(&from.mode),
            reason: words.text(&from.reason),
            message: words.text(&from.message),
            since: from.since.map(|time| seconds::whole(time.0)),
            af_xdp: from.af_xdp > 0,
            traffic: from
                .traffic
                .map(|traffic| Box::new(Traffic::read(&traffic))),
        }
    }
}

impl Traffic {
    fn read(from: &TrafficSnapshot) -> Self {
        let times = [
            &from.handshake_p50,
            &from.handshake_p99,
            &from.rtt_p50,
            &from.rtt_p95,
            &from.rtt_p99,
        ];
        Self {
            sums: [
                from.packets_per_second,
                from.bits_per_second,
                from.dropped_per_second,
                from.connections,
            ],
            times: times.map(|time| quantile::parse(time.as_deref()?)),
            sampled_at: seconds::whole(from.sampled_at.0),
        }
    }

    /// As it is written.
    pub(crate) fn show(&self) -> TrafficSnapshot {
        let [packets, bits, dropped, connections] = self.sums;
        let [handshake_p50, handshake_p99, rtt_p50, rtt_p95, rtt_p99] =
            self.times.map(|time| time.map(quantile::show));
        TrafficSnapshot {
            packets_per_second: packets,
            bits_per_second: bits,
            dropped_per_second: dropped,
            connections,
            handshake_p50,
            handshake_p99,
            rtt_p50,
            rtt_p95,
            rtt_p99,
            sampled_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.sampled_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: &str) -> Report {
        let yaml = format!("metadata: {{name: n1}}\nspec: {{}}\nstatus: {{{status}}}");
        Report::read(serde_yaml::from_str(&yaml).unwrap(), &mut Words::default())
    }

    fn name(name: &str) -> ObjectName {
        let (namespace, name) = name.split_once('/').unwrap();
        ObjectName {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    const EDGE: &str = "{namespace: d, name: edge, generation: 2, ready: true, mode: Native, \
        traffic: {packetsPerSecond: 7, bitsPerSecond: 8, droppedPerSecond: 9, connections: 1, \
        rttP50: 1.25ms, sampledAt: '2026-01-01T00:00:00Z'}}";

    #[test]
    fn entries_are_found_by_name_and_read_back() {
        let report = read(&format!(
            "reportedAt: '2026-01-01T00:00:01Z', transports: [{{namespace: d, name: web}}, {EDGE}]"
        ));
        let entry = report.entry(&name("d/edge")).unwrap();
        assert_eq!(
            (entry.generation, entry.ready, entry.rung),
            (2, true, Rung::Native)
        );
        let shown = entry.traffic.as_ref().unwrap().show();
        assert_eq!(
            (shown.packets_per_second, shown.rtt_p50.as_deref()),
            (7, Some("1.25ms"))
        );
        assert_eq!(report.entry(&name("d/edgy")), None);
        assert_eq!(read("").reported_at, None);
    }

    #[test]
    fn only_transports_of_which_something_else_is_said_have_changed() {
        let both = read(&format!(
            "transports: [{{namespace: d, name: web}}, {EDGE}]"
        ));
        let other = read(&format!(
            "transports: [{{namespace: d, name: web, pods: 3, ready: true}}, {EDGE}]"
        ));
        let less = read("transports: [{namespace: d, name: web}]");
        let changed = |a: &Report, b: &Report| {
            let mut names: Vec<_> = a.changed(b).map(ToString::to_string).collect();
            names.dedup();
            names
        };
        assert_eq!(changed(&both, &both), [""; 0]);
        assert_eq!(changed(&both, &other), ["d/web"]);
        assert_eq!(changed(&both, &less), ["d/edge"]);
        assert_eq!(changed(&less, &both), ["d/edge"]);
    }
}
