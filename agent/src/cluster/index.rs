//! From what the watches tell to the objects in force.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ConfigMap, Pod as ApiPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use stoq_crds::node_addresses::KEY;
use stoq_crds::{
    ConditionType, Invalid, ObjectName, Pod, Reason, StoqNode, StoqTransport, Transport,
};

use super::shelf::{Name, Shelf};
use crate::objects::{Fault, Objects, Problem};

/// The watches.
pub(super) const TRANSPORTS: &str = "stoqtransports";
pub(super) const PODS: &str = "pods";
pub(super) const MAPS: &str = "configmaps";
pub(super) const NODES: &str = "stoqnodes";

/// Everything that is seen of the cluster.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) transports: Shelf<StoqTransport>,
    pub(super) pods: Shelf<ApiPod>,
    pub(super) addresses: Shelf<ConfigMap>,
    pub(super) own: Shelf<StoqNode>,
}

/// What a watch tells.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "taken over at once, one by one")]
pub(super) enum Change {
    Transport(Event<DeserializeGuard<StoqTransport>>),
    Pod(Event<DeserializeGuard<ApiPod>>),
    Addresses(Event<DeserializeGuard<ConfigMap>>),
    Own(Event<DeserializeGuard<StoqNode>>),
}

impl Change {
    /// The watch that works, since it tells this. That it begins a list it tells in any case.
    pub(super) fn heard(&self) -> Option<&'static str> {
        let (watch, begins) = match self {
            Self::Transport(event) => (TRANSPORTS, matches!(event, Event::Init)),
            Self::Pod(event) => (PODS, matches!(event, Event::Init)),
            Self::Addresses(event) => (MAPS, matches!(event, Event::Init)),
            Self::Own(event) => (NODES, matches!(event, Event::Init)),
        };
        (!begins).then_some(watch)
    }
}

impl Index {
    /// Takes it over. Returns whether anything is other than before: of most objects that are written, as the status of
    /// a transport is every minute, nothing that is kept has changed.
    pub(super) fn take(&mut self, change: Change) -> bool {
        match change {
            Change::Transport(event) => self
                .transports
                .take(event, |one| told(Transport::parse(one))),
            Change::Pod(event) => self.pods.take(event, |one| told(Pod::parse(one))),
            Change::Addresses(event) => self.addresses.take(event, |one| addresses(one).map(drop)),
            Change::Own(event) => self.own.take(event, |_| Ok(())),
        }
    }

    /// What is not known yet; nothing may be planned before all is.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let all = [
            (self.transports.complete, "stoqtransports"),
            (self.pods.complete, "pods"),
            (self.addresses.complete, "the configmap of node addresses"),
            (self.own.complete, "the own stoqnode"),
        ];
        let missing = all.into_iter().filter(|(complete, _)| !complete);
        missing.map(|(_, what)| what).collect()
    }

    /// The objects in force.
    pub(super) fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        let transports = self.transports.good();
        objects.transports = transports
            .filter_map(|one| Transport::parse(one).ok())
            .collect();
        objects.refused = self
            .transports
            .good()
            .filter_map(refused_as_a_whole)
            .collect();
        objects.pods = { self.pods.good() }
            .filter_map(|one| Pod::parse(one).ok())
            .collect();
        objects.problems = self.problems();
        let lists = self.addresses.good().filter_map(|one| addresses(one).ok());
        objects.node_addresses = lists.flatten().collect();
        let own = self.own.good().next();
        objects.paused = own.is_some_and(|own| own.spec.paused);
        objects.node_generation = own.and_then(|own| own.metadata.generation);
        objects
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = refused("StoqTransport", &self.transports);
        problems.extend(refused("Pod", &self.pods));
        problems.extend(refused("ConfigMap", &self.addresses));
        problems.extend(refused("StoqNode", &self.own));
        problems
    }
}

fn told<T>(parsed: Result<T, Invalid>) -> Result<(), String> {
    parsed.map(drop).map_err(|invalid| invalid.to_string())
}

/// A transport that the operator, who sees the pods of all nodes, found to be the younger of two: as it is now.
fn refused_as_a_whole(object: &StoqTransport) -> Option<(ObjectName, String)> {
    let generation = object.metadata.generation;
    let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
    let refusal =
        conditions.find(|one| is_refusal(one) && one.observed_generation == generation)?;
    let name = ObjectName::parse(&object.metadata).ok()?;
    Some((name, refusal.message.clone()))
}

/// Whether it says of a transport that an older one has what it wants.
pub(super) fn is_refusal(condition: &Condition) -> bool {
    condition.type_ == ConditionType::Accepted.as_str()
        && condition.status == "False"
        && condition.reason == Reason::Conflict.as_str()
}

fn refused<K: Resource + Clone + PartialEq>(kind: &str, shelf: &Shelf<K>) -> Vec<Problem> {
    let each = shelf.faults().map(|(name, reason, kept)| Problem {
        file: "API server".to_owned(),
        fault: Fault::Object {
            object: format!("{kind} {}", text(name)),
            reason: reason.to_owned(),
            kept,
        },
        in_force: Vec::new(),
    });
    each.collect()
}

fn text((namespace, name): &Name) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.clone(),
    }
}

/// The addresses of the cluster's nodes.
fn addresses(map: &ConfigMap) -> Result<BTreeSet<IpAddr>, String> {
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.ok_or_else(|| format!("data.{KEY}: is required"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let parsed = lines.map(|line| {
        let refused = |_| format!("data.{KEY}: must be one address a line, has {line:?}");
        line.parse().map_err(refused)
    });
    parsed.collect()
}

#[cfg(test)]
mod tests;
