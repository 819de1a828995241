//! From what the nodes of a transport say to what the transport says of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stoq_crds::api::{NodeCounts, NodeFailure};
use stoq_crds::{Reason, Timestamp};

use crate::report::{Entry, Traffic};
use crate::rung::Rung;

/// Most failures that are told one by one.
const MOST: usize = 10;

/// What is known of a node on which the transport should be in force.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    /// Its agent said this, if anything, of the transport.
    Heard(Option<&'a Entry>),
    /// Its agent has been silent since then; `None`: always.
    Silent(Option<Timestamp>),
}

/// What is wrong on a node, worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Trouble {
    /// What is required is not met.
    Lacking,
    /// Nobody knows.
    Silent,
    /// The spec is not in force yet.
    Pending,
    /// A lower rung than preferred.
    Degraded,
}

/// All nodes together.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub(crate) counts: NodeCounts,
    /// The lowest rung anywhere, as far as anyone says; `None`: nobody does.
    pub(crate) rung: Option<Rung>,
    pub(crate) traffic: Option<Traffic>,
    /// How many nodes have each trouble; the worst of a node counts.
    pub(crate) troubles: BTreeMap<Trouble, usize>,
    /// The worst of those that do not do what is required, or not yet.
    pub(crate) wanting: Option<NodeFailure>,
    /// The worst of those that are on a lower rung than preferred, and how many there are.
    pub(crate) degraded: Option<(NodeFailure, usize)>,
    /// Worst first.
    pub(crate) failures: Vec<NodeFailure>,
}

impl Sum {
    /// How many nodes have this trouble, and no worse one.
    pub(crate) fn count(&self, trouble: Trouble) -> usize {
        self.troubles.get(&trouble).copied().unwrap_or(0)
    }
}

/// Sums up the nodes. `generation` is the spec's; `before` are the failures told last, whose times
/// hold while the failure does; `now` is the time of new ones.
pub(crate) fn sum<'a>(
    nodes: impl Iterator<Item = (&'a str, Node<'a>)>,
    generation: i64,
    before: &[NodeFailure],
    now: Timestamp,
) -> Sum {
    let mut tally = Tally::default();
    for (name, node) in nodes {
        tally.add(name, node, generation);
    }
    tally.finish(before, now)
}

#[derive(Default)]
struct Tally<'a> {
    counts: NodeCounts,
    rung: Option<Rung>,
    traffic: Option<Traffic>,
    troubles: BTreeMap<Trouble, usize>,
    degraded: usize,
    failing: Vec<Failing<'a>>,
}

struct Failing<'a> {
    trouble: Trouble,
    rung: Rung,
    node: &'a str,
    of: Node<'a>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, name: &'a str, node: Node<'a>, generation: i64) {
        self.counts.desired += 1;
        if let Node::Heard(Some(entry)) = node {
            self.count(entry);
        }
        let Some(trouble) = trouble(node, generation) else {
            self.counts.ready += 1;
            return;
        };
        self.counts.ready += i64::from(trouble == Trouble::Degraded);
        *self.troubles.entry(trouble).or_default() += 1;
        let rung = match node {
            Node::Heard(Some(entry)) => entry.rung,
            _ => Rung::None,
        };
        self.failing.push(Failing {
            trouble,
            rung,
            node: name,
            of: node,
        });
    }

    fn count(&mut self, entry: &Entry) {
        let counts = &mut self.counts;
        let of_rung = match entry.rung {
            Rung::Native => &mut counts.native,
            Rung::Generic => &mut counts.generic,
            Rung::Tcx => &mut counts.tcx,
            Rung::Clsact => &mut counts.clsact,
            Rung::None => &mut counts.none,
        };
        *of_rung += 1;
        counts.af_xdp += i64::from(entry.af_xdp);
        self.degraded += usize::from(entry.degraded);
        self.rung = self.rung.max(Some(entry.rung));
        if let Some(sample) = &entry.traffic {
            add_traffic(&mut self.traffic, sample);
        }
    }

    fn finish(mut self, before: &[NodeFailure], now: Timestamp) -> Sum {
        self.failing
            .sort_by_key(|one| (one.trouble, Reverse(one.rung), one.node));
        let tell = |one: &Failing<'_>| failure(one, before, now);
        let is_degraded =
            |one: &&Failing<'_>| matches!(one.of, Node::Heard(Some(entry)) if entry.degraded);
        let is_wanting =
            |one: &&Failing<'_>| matches!(one.trouble, Trouble::Lacking | Trouble::Pending);
        let worst = |is: &dyn Fn(&&Failing<'_>) -> bool| self.failing.iter().find(is).map(tell);
        let (wanting, degraded) = (worst(&is_wanting), worst(&is_degraded));
        Sum {
            counts: self.counts,
            rung: self.rung,
            traffic: self.traffic,
            troubles: self.troubles,
            wanting,
            degraded: degraded.map(|worst| (worst, self.degraded)),
            failures: self.failing.iter().take(MOST).map(tell).collect(),
        }
    }
}

fn trouble(node: Node<'_>, generation: i64) -> Option<Trouble> {
    match node {
        Node::Silent(_) => Some(Trouble::Silent),
        Node::Heard(None) => Some(Trouble::Pending),
        Node::Heard(Some(entry)) if entry.generation < generation => Some(Trouble::Pending),
        Node::Heard(Some(entry)) if !entry.ready => Some(Trouble::Lacking),
        Node::Heard(Some(entry)) => entry.degraded.then_some(Trouble::Degraded),
    }
}

fn failure(one: &Failing<'_>, before: &[NodeFailure], now: Timestamp) -> NodeFailure {
    let (reason, message, since) = words(one);
    let known = before
        .iter()
        .find(|told| told.node == one.node && told.reason == reason);
    let since = since
        .map(Time)
        .or_else(|| known.map(|told| told.since.clone()));
    NodeFailure {
        node: one.node.to_owned(),
        reason,
        message,
        since: since.unwrap_or(Time(now)),
    }
}

fn words(one: &Failing<'_>) -> (String, String, Option<Timestamp>) {
    let text = |reason: Reason| reason.as_str().to_owned();
    match one.of {
        Node::Silent(None) => {
            let message = "no agent has reported from this node".to_owned();
            (text(Reason::Silent), message, None)
        }
        Node::Silent(since) => {
            let message = "the agent of this node no longer reports".to_owned();
            (text(Reason::Silent), message, since)
        }
        Node::Heard(Some(entry)) if one.trouble != Trouble::Pending => (
            reason(&entry.reason),
            entry.message.to_string(),
            entry.since,
        ),
        Node::Heard(_) => {
            let message = "the agent of this node has not taken it up yet".to_owned();
            (text(Reason::Pending), message, None)
        }
    }
}

/// A reason of a condition is never empty.
fn reason(of_agent: &str) -> String {
    if of_agent.is_empty() {
        return Reason::NotReady.as_str().to_owned();
    }
    of_agent.to_owned()
}

/// Rates add up; a time is that of the node where it is longest; the sum is as old as its oldest part.
fn add_traffic(sum: &mut Option<Traffic>, sample: &Traffic) {
    let Some(sum) = sum else {
        *sum = Some(sample.clone());
        return;
    };
    for (sum, one) in sum.sums.iter_mut().zip(sample.sums) {
        *sum = sum.saturating_add(one);
    }
    for (longest, one) in sum.times.iter_mut().zip(sample.times) {
        *longest = (*longest).max(one);
    }
    sum.sampled_at = sum.sampled_at.min(sample.sampled_at);
}

#[cfg(test)]
mod tests;
