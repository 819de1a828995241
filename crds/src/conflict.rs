//! Two transports on one endpoint: the older wins.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

use k8s_openapi::jiff::Timestamp;

use crate::{ObjectName, Pod, Transport};

/// A transport that lost an endpoint, and with it everything: it is `Accepted=False, Conflict`.
/// `Display` is the message of that condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The younger transport, not in force.
    pub loser: ObjectName,
    /// The older transport, in force.
    pub winner: ObjectName,
    /// A pod that both select.
    pub pod: ObjectName,
    /// A port that both name.
    pub port: NonZeroU16,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            winner, pod, port, ..
        } = self;
        write!(
            f,
            "port {port} of pod {pod} belongs to {winner}, which is older"
        )
    }
}

/// Finds the transports that lose to an older one, oldest loser first, each once.
///
/// An endpoint is disputed when two transports select one pod, or pods that share an address (two
/// hostNetwork pods of a node, even of different namespaces), and name the same port. The younger
/// one is out as a whole, on every pod: a transport that held on some pods only would be neither
/// what its owner asked for nor easy to see. It comes into force when the dispute ends. One that
/// is out disputes nothing, so its own rivals stay.
///
/// Older is the earlier `created`; one without (from a file) is younger than any with; equals are
/// ordered by namespace and name. Pods that have ended dispute nothing. What is not in `pods` can't
/// be seen: a caller with the pods of one node decides for that node.
#[must_use]
pub fn resolve_conflicts<'a>(
    transports: impl IntoIterator<Item = &'a Transport>,
    pods: &[impl Borrow<Pod>],
) -> Vec<Conflict> {
    let pods: Vec<&Pod> = pods.iter().map(Borrow::borrow).collect();
    let mut oldest_first: Vec<_> = transports.into_iter().collect();
    oldest_first.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
    let mut claims = Claims::new();
    let judge = |t| admit(&mut claims, t, &pods);
    oldest_first.into_iter().filter_map(judge).collect()
}

type Key<'a> = (Place<'a>, NonZeroU16);
type Claims<'a> = HashMap<Key<'a>, &'a ObjectName>;

/// What two transports can both want: a pod, or an address that several pods share.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Place<'a> {
    Pod(&'a ObjectName),
    Address(IpAddr),
}

impl Transport {
    /// Sorts the older before the younger, as [`resolve_conflicts`] has it.
    #[must_use]
    pub fn seniority(&self) -> impl Ord {
        let created: Option<Timestamp> = self.created;
        (created.is_none(), created, &self.name)
    }
}

/// Enters the claims of a transport, or none of them if one is taken.
fn admit<'a>(
    claims: &mut Claims<'a>,
    transport: &'a Transport,
    pods: &[&'a Pod],
) -> Option<Conflict> {
    let wanted: Vec<_> = wanted(transport, pods).collect();
    let lost = wanted.iter().find_map(|(key, pod)| {
        Some(Conflict {
            loser: transport.name.clone(),
            winner: (*claims.get(key)?).clone(),
            pod: pod.name.clone(),
            port: key.1,
        })
    });
    if lost.is_none() {
        claims.extend(wanted.into_iter().map(|(key, _)| (key, &transport.name)));
    }
    lost
}

fn wanted<'a>(
    transport: &'a Transport,
    pods: &[&'a Pod],
) -> impl Iterator<Item = (Key<'a>, &'a Pod)> {
    let selected = pods.iter().copied().filter(|pod| transport.selects(pod));
    let places = selected.flat_map(|pod| places(pod).map(move |place| (place, pod)));
    places.flat_map(|(place, pod)| {
        transport
            .ports
            .iter()
            .map(move |p| ((place, p.number), pod))
    })
}

fn places(pod: &Pod) -> impl Iterator<Item = Place<'_>> {
    let addresses = pod.ips.iter().copied().map(Place::Address);
    std::iter::once(Place::Pod(&pod.name)).chain(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, read_objects};

    fn transport(name: &str, created: Option<i64>, app: &str, ports: &[u16]) -> Transport {
        let (namespace, name) = name.split_once('/').unwrap();
        let ports: Vec<_> = ports.iter().map(|p| format!("{{port: {p}}}")).collect();
        let text = format!(
            "apiVersion: stoq.io/v1alpha1\nkind: StoqTransport\n\
             metadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, ports: [{}]}}",
            ports.join(", ")
        );
        match read_objects(&text).remove(0).unwrap() {
            Object::Transport(parsed) => Transport {
                created: created.map(|s| Timestamp::from_second(s).unwrap()),
                ..*parsed
            },
            Object::Pod(_) => unreachable!(),
        }
    }

    fn pod(name: &str, app: &str, ip: Option<&str>) -> Pod {
        let (namespace, name) = name.split_once('/').unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Pod\n\
             metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}\n\
             status: {{phase: Running, podIP: '{}'}}",
            ip.unwrap_or("")
        );
        match read_objects(&text).remove(0).unwrap() {
            Object::Pod(parsed) => *parsed,
            Object::Transport(_) => unreachable!(),
        }
    }

    fn losers(transports: &[Transport], pods: &[Pod]) -> Vec<String> {
        let conflicts = resolve_conflicts(transports, pods);
        let pair = |c: &Conflict| format!("{} < {}", c.loser, c.winner);
        conflicts.iter().map(pair).collect()
    }

    #[test]
    fn the_older_wins_whatever_the_order_and_the_names() {
        let (old, young) = (
            transport("d/z", Some(1), "edge", &[4433]),
            transport("d/a", Some(2), "edge", &[1, 4433]),
        );
        let pods = [pod("d/edge-0", "edge", Some("10.0.0.1"))];
        assert_eq!(losers(&[old.clone(), young.clone()], &pods), ["d/a < d/z"]);
        let conflicts = resolve_conflicts(&[young, old], &pods);
        assert_eq!(
            conflicts[0].to_string(),
            "port 4433 of pod d/edge-0 belongs to d/z, which is older"
        );
    }

    #[test]
    fn equals_are_ordered_by_name_and_files_are_youngest() {
        let pods = [pod("d/edge-0", "edge", None)];
        let a = transport("d/a", None, "edge", &[1]);
        let b = transport("d/b", None, "edge", &[1]);
        assert_eq!(losers(&[b, a.clone()], &pods), ["d/b < d/a"]);
        let c = transport("d/c", Some(9), "edge", &[1]);
        assert_eq!(losers(&[a, c], &pods), ["d/a < d/c"]);
    }

    #[test]
    fn without_a_shared_pod_and_port_there_is_no_dispute() {
        let pods = [
            pod("d/edge-0", "edge", Some("10.0.0.1")),
            pod("d/web-0", "web", Some("10.0.0.2")),
            pod("other/edge-0", "edge", Some("10.0.0.3")),
        ];
        for rival in [
            transport("d/b", None, "edge", &[2]),
            transport("d/b", None, "web", &[1]),
            transport("other/b", None, "edge", &[1]),
        ] {
            let first = transport("d/a", None, "edge", &[1]);
            assert_eq!(losers(&[first, rival], &pods), [""; 0]);
        }
    }

    #[test]
    fn pods_on_one_host_network_share_an_address() {
        let pods = [
            pod("d/edge-0", "edge", Some("192.0.2.1")),
            pod("other/web-0", "web", Some("192.0.2.1")),
        ];
        let first = transport("d/a", Some(1), "edge", &[1]);
        let second = transport("other/b", Some(2), "web", &[1]);
        assert_eq!(losers(&[first, second], &pods), ["other/b < d/a"]);
    }

    #[test]
    fn an_ended_pod_disputes_nothing() {
        let mut ended = pod("d/edge-0", "edge", Some("10.0.0.1"));
        ended.phase = crate::Phase::Succeeded;
        let first = transport("d/a", None, "edge", &[1]);
        let second = transport("d/b", None, "edge", &[1]);
        assert_eq!(losers(&[first, second], &[ended]), [""; 0]);
    }

    #[test]
    fn a_loser_takes_nothing_from_its_own_rivals() {
        let pods = [pod("d/edge-0", "edge", None)];
        let oldest = transport("d/a", Some(1), "edge", &[1]);
        let middle = transport("d/b", Some(2), "edge", &[1, 2]);
        let youngest = transport("d/c", Some(3), "edge", &[2]);
        assert_eq!(losers(&[oldest, middle, youngest], &pods), ["d/b < d/a"]);
    }
}
