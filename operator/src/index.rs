//! All that is known of the cluster, and which transports each piece of news concerns.

mod relist;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod as ApiPod, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;
use stoq_crds::api::{StoqNode, StoqTransport, StoqTransportStatus};
use stoq_crds::{ObjectName, Pod, Timestamp, Transport, resolve_conflicts};

use crate::addresses::{self, NodeAddresses};
use crate::aggregate;
use crate::front_ends;
use crate::labels;
use crate::report::Report;
use crate::service::{Service, Slice};
use crate::words::Words;
use relist::{Change, Relist};
pub(crate) use transport::Known;

/// A piece of news from one of the watches.
// Taken apart at once; boxes would only cost.
#[allow(clippy::large_enum_variant)]
pub(crate) enum News {
    Transport(Event<StoqTransport>),
    Report(Event<StoqNode>),
    Pod(Event<ApiPod>),
    Service(Event<ApiService>),
    Slice(Event<EndpointSlice>),
    Node(Event<Node>),
}

/// What is known.
#[derive(Default)]
pub(crate) struct Index {
    transports: BTreeMap<ObjectName, Known>,
    reports: BTreeMap<Arc<str>, Heard>,
    pods: BTreeMap<ObjectName, Pod>,
    services: BTreeMap<ObjectName, Service>,
    slices: BTreeMap<ObjectName, Slice>,
    nodes: BTreeMap<Arc<str>, NodeFacts>,
    words: Words,
    lists: Lists,
    changed: Changed,
}

/// What has to be looked at because of the news.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Transports whose status may be another now.
    pub(crate) transports: BTreeSet<ObjectName>,
    /// Nodes whose labels may be.
    pub(crate) labels: BTreeSet<Arc<str>>,
    /// Whether nodes' addresses are.
    pub(crate) addresses: bool,
    /// Whether conflicts and front ends have to be found anew.
    relations: bool,
}

#[derive(Default)]
struct Lists {
    transports: Relist<ObjectName>,
    reports: Relist<Arc<str>>,
    pods: Relist<ObjectName>,
    services: Relist<ObjectName>,
    slices: Relist<ObjectName>,
    nodes: Relist<Arc<str>>,
}

/// A report, and when there was the last sign of life.
struct Heard {
    report: Report,
    /// By our clock, but for a report that was there before us.
    at: Timestamp,
    silent: bool,
}

struct NodeFacts {
    addresses: NodeAddresses,
    labels: BTreeMap<String, String>,
}

impl Index {
    /// Takes the news in at `now`; a node that was silent for so long is not believed.
    pub(crate) fn take(&mut self, news: News, now: Timestamp, stale_after: Duration) {
        match news {
            News::Transport(event) => self.take_transports(event),
            News::Report(event) => self.take_reports(event, now, stale_after),
            News::Pod(event) => self.take_pods(event),
            News::Service(event) => self.take_services(event),
            News::Slice(event) => self.take_slices(event),
            News::Node(event) => self.take_nodes(event),
        }
    }

    /// Names the lists that have not arrived yet.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let lists = &self.lists;
        let all = [
            ("stoqtransports", lists.transports.is_complete()),
            ("stoqnodes", lists.reports.is_complete()),
            ("pods", lists.pods.is_complete()),
            ("services", lists.services.is_complete()),
            ("endpointslices", lists.slices.is_complete()),
            ("nodes", lists.nodes.is_complete()),
        ];
        let missing = all.into_iter().filter(|(_, complete)| !complete);
        missing.map(|(name, _)| name).collect()
    }

    /// What has changed since this was last asked; conflicts and front ends are brought up to date.
    pub(crate) fn changed(&mut self) -> Changed {
        if std::mem::take(&mut self.changed.relations) {
            self.relate();
        }
        std::mem::take(&mut self.changed)
    }

    /// Everything, as if all of it had just changed.
    pub(crate) fn everything(&self) -> Changed {
        Changed {
            transports: self.transports.keys().cloned().collect(),
            labels: self.nodes.keys().cloned().collect(),
            addresses: true,
            relations: false,
        }
    }

    /// The transport of this name.
    pub(crate) fn transport(&self, name: &ObjectName) -> Option<&Known> {
        self.transports.get(name)
    }

    /// The status that a transport should have.
    pub(crate) fn status(&self, known: &Known, now: Timestamp) -> StoqTransportStatus {
        known.status(self.nodes_of(known), now)
    }

    /// The text of the ConfigMap of node addresses.
    pub(crate) fn addresses(&self) -> String {
        addresses::text(self.nodes.values().map(|node| &node.addresses))
    }

    /// Labels that a node should have, if it has others; `None` also if its agent is silent, for
    /// then they say what was last known.
    pub(crate) fn labels(&self, node: &str) -> Option<BTreeMap<String, String>> {
        let facts = self.nodes.get(node)?;
        let wanted = match self.reports.get(node) {
            Some(heard) if heard.silent => return None,
            Some(heard) => heard.report.abilities.labels(),
            None => BTreeMap::new(),
        };
        (facts.labels != wanted).then_some(wanted)
    }

    /// Finds agents that have fallen silent.
    pub(crate) fn listen(&mut self, now: Timestamp, stale_after: Duration) {
        let mut fallen = Vec::new();
        for (node, heard) in &mut self.reports {
            if !heard.silent && heard.is_stale(now, stale_after) {
                heard.silent = true;
                fallen.push(node.clone());
            }
        }
        for node in fallen {
            tracing::warn!(%node, "the agent no longer reports");
            self.mark_all_on(&node);
        }
    }

    fn nodes_of<'a>(
        &'a self,
        known: &'a Known,
    ) -> impl Iterator<Item = (&'a str, aggregate::Node<'a>)> {
        let nodes = known.nodes(self.reports.keys());
        nodes
            .into_iter()
            .map(|node| (&**node, self.node(known, node)))
    }

    fn node<'a>(&'a self, known: &Known, node: &str) -> aggregate::Node<'a> {
        match self.reports.get(node) {
            None => aggregate::Node::Silent(None),
            Some(heard) if heard.report.reported_at.is_none() => aggregate::Node::Silent(None),
            Some(heard) if heard.silent => aggregate::Node::Silent(heard.report.reported_at),
            Some(heard) => aggregate::Node::Heard(heard.report.entry(&known.name)),
        }
    }

    fn take_transports(&mut self, event: Event<StoqTransport>) {
        for change in self
            .lists
            .transports
            .take(event, |one| ObjectName::parse(&one.metadata).ok())
        {
            match change {
                Change::There(name, object) => self.transport_is_there(name, object),
                Change::Gone(name) => {
                    self.transports.remove(&name);
                    self.changed.transports.insert(name);
                    self.changed.relations = true;
                }
            }
        }
    }

    fn transport_is_there(&mut self, name: ObjectName, object: StoqTransport) {
        let before = self.transports.remove(&name);
        let known = Known::new(name.clone(), object, before);
        let known = match known.has_new_spec {
            true => {
                self.changed.relations = true;
                known.with_pods(self.pods.values())
            }
            false => known,
        };
        self.transports.insert(name.clone(), known);
        self.changed.transports.insert(name);
    }

    /// Takes in what a write of ours came back with, before the watch tells it.
    pub(crate) fn wrote(&mut self, object: StoqTransport) {
        if let Ok(name) = ObjectName::parse(&object.metadata)
            && self.transports.contains_key(&name)
        {
            self.transport_is_there(name, object);
        }
    }

    fn take_reports(&mut self, event: Event<StoqNode>, now: Timestamp, stale_after: Duration) {
        let words = &mut self.words;
        let name = |one: &StoqNode| Some(words.text(one.metadata.name.as_deref()?));
        for change in self.lists.reports.take(event, name) {
            match change {
                Change::There(node, object) => self.heard(node, object, now, stale_after),
                Change::Gone(node) => {
                    self.reports.remove(&node);
                    self.mark_all_on(&node);
                    self.mark_every_node();
                    self.changed.labels.insert(node);
                }
            }
        }
    }

    fn heard(&mut self, node: Arc<str>, object: StoqNode, now: Timestamp, stale_after: Duration) {
        let report = Report::read(object, &mut self.words);
        let before = self.reports.remove(&node);
        let heard = Heard::new(report, before.as_ref(), now, stale_after);
        if before.as_ref().map(|one| one.report.abilities) != Some(heard.report.abilities) {
            self.changed.labels.insert(node.clone());
        }
        let returned = before
            .as_ref()
            .is_none_or(|one| one.silent != heard.silent || one.report.reported_at.is_none());
        if let Some(before) = &before {
            let touched = heard.report.changed(&before.report);
            self.changed.transports.extend(touched.cloned());
        }
        let is_new = before.is_none();
        self.reports.insert(node.clone(), heard);
        if returned {
            self.mark_all_on(&node);
        }
        if is_new {
            self.mark_every_node();
        }
    }

    /// Marks the transports that should be in force on the node.
    fn mark_all_on(&mut self, node: &Arc<str>) {
        let on_it = self.transports.values().filter(|known| known.is_on(node));
        let names = on_it.map(|known| known.name.clone());
        self.changed.transports.extend(names);
    }

    /// Marks those that should be in force on every node there is.
    fn mark_every_node(&mut self) {
        let on_all = self
            .transports
            .values()
            .filter(|known| known.front_ends.every_node);
        let names = on_all.map(|known| known.name.clone());
        self.changed.transports.extend(names);
    }

    fn take_pods(&mut self, event: Event<ApiPod>) {
        for change in self
            .lists
            .pods
            .take(event, |one| ObjectName::parse(&one.metadata).ok())
        {
            match change {
                Change::There(name, object) => match Pod::parse(&object) {
                    Ok(pod) => self.pod_is_there(name, pod),
                    Err(error) => tracing::warn!(pod = %name, "not looked at: {error}"),
                },
                Change::Gone(name) => {
                    self.pods.remove(&name);
                    self.place(&name);
                }
            }
        }
    }

    fn pod_is_there(&mut self, name: ObjectName, pod: Pod) {
        if self.pods.get(&name) != Some(&pod) {
            self.pods.insert(name.clone(), pod);
            self.place(&name);
        }
    }

    /// Tells each transport of the pod's namespace what has become of the pod.
    fn place(&mut self, name: &ObjectName) {
        let pod = self.pods.get(name);
        let first = ObjectName {
            namespace: name.namespace.clone(),
            name: String::new(),
        };
        let transports = self.transports.range_mut(first..);
        let near = transports.take_while(|(one, _)| one.namespace == name.namespace);
        for (transport, known) in near {
            if known.place(name, pod) {
                self.changed.transports.insert(transport.clone());
                self.changed.relations = true;
            }
        }
    }

    fn take_services(&mut self, event: Event<ApiService>) {
        for change in self
            .lists
            .services
            .take(event, |one| ObjectName::parse(&one.metadata).ok())
        {
            let (name, service) = match change {
                Change::There(name, object) => (name, Service::read(&object)),
                Change::Gone(name) => (name, None),
            };
            self.changed.relations |= put(&mut self.services, name, service);
        }
    }

    fn take_slices(&mut self, event: Event<EndpointSlice>) {
        for change in self
            .lists
            .slices
            .take(event, |one| ObjectName::parse(&one.metadata).ok())
        {
            let (name, slice) = match change {
                Change::There(name, object) => (name, Slice::read(object, &mut self.words)),
                Change::Gone(name) => (name, None),
            };
            self.changed.relations |= put(&mut self.slices, name, slice);
        }
    }

    fn take_nodes(&mut self, event: Event<Node>) {
        let words = &mut self.words;
        let name = |one: &Node| Some(words.text(one.metadata.name.as_deref()?));
        for change in self.lists.nodes.take(event, name) {
            match change {
                Change::There(node, object) => self.node_is_there(node, object),
                Change::Gone(node) => {
                    self.nodes.remove(&node);
                    self.changed.addresses = true;
                }
            }
        }
    }

    fn node_is_there(&mut self, node: Arc<str>, object: Node) {
        let addresses = NodeAddresses::read(&object);
        let labels = labels::ours(object.metadata.labels);
        let before = self.nodes.get(&node);
        self.changed.addresses |= before.is_none_or(|one| one.addresses != addresses);
        if before.is_none_or(|one| one.labels != labels) {
            self.changed.labels.insert(node.clone());
        }
        self.nodes.insert(node, NodeFacts { addresses, labels });
    }

    /// Finds conflicts and front ends anew.
    fn relate(&mut self) {
        let conflicts = self.conflicts();
        let mut conflicts: BTreeMap<_, _> = conflicts
            .into_iter()
            .map(|one| (one.loser.clone(), one))
            .collect();
        let found: Vec<_> = self
            .transports
            .values()
            .map(|known| self.front_ends(known))
            .collect();
        for ((name, known), front_ends) in self.transports.iter_mut().zip(found) {
            let conflict = conflicts.remove(name);
            if known.conflict != conflict || known.front_ends != front_ends {
                (known.conflict, known.front_ends) = (conflict, front_ends);
                self.changed.transports.insert(name.clone());
            }
        }
    }

    fn conflicts(&self) -> Vec<stoq_crds::Conflict> {
        let valid: Vec<&Transport> = { self.transports.values() }
            .filter_map(|known| known.parsed.as_ref().ok())
            .collect();
        let selected = self
            .transports
            .values()
            .flat_map(|known| known.selected.iter());
        let selected: BTreeSet<_> = selected.collect();
        let pods = selected.into_iter().filter_map(|name| self.pods.get(name));
        let pods: Vec<&Pod> = pods.collect();
        resolve_conflicts(valid, &pods)
    }

    fn front_ends(&self, known: &Known) -> front_ends::FrontEnds {
        let Ok(transport) = &known.parsed else {
            return front_ends::FrontEnds::default();
        };
        let namespace = &known.name.namespace;
        let first = ObjectName {
            namespace: namespace.clone(),
            name: String::new(),
        };
        let services = self.services.range(first.clone()..);
        let services = services.take_while(|(name, _)| name.namespace == *namespace);
        let services = services
            .map(|(name, service)| (name.name.as_str(), service))
            .collect();
        let slices = self.slices.range(first..);
        let slices = slices.take_while(|(name, _)| name.namespace == *namespace);
        let selected = |pod: &str| known.selects(pod);
        front_ends::find(
            transport,
            &services,
            slices.map(|(_, slice)| slice),
            selected,
        )
    }
}

/// Whether that changed anything.
fn put<T: PartialEq>(
    all: &mut BTreeMap<ObjectName, T>,
    name: ObjectName,
    value: Option<T>,
) -> bool {
    if all.get(&name) == value.as_ref() {
        return false;
    }
    match value {
        Some(value) => drop(all.insert(name, value)),
        None => drop(all.remove(&name)),
    }
    true
}

impl Heard {
    fn new(report: Report, before: Option<&Self>, now: Timestamp, stale_after: Duration) -> Self {
        let at = match before {
            Some(before) if before.report.reported_at == report.reported_at => before.at,
            Some(_) => now,
            // Nobody was listening yet: its own clock has to do.
            None => report.reported_at.map_or(now, |at| at.min(now)),
        };
        let mut heard = Self {
            report,
            at,
            silent: false,
        };
        heard.silent = heard.is_stale(now, stale_after);
        heard
    }

    fn is_stale(&self, now: Timestamp, stale_after: Duration) -> bool {
        now.duration_since(self.at).unsigned_abs() > stale_after && now > self.at
    }
}

#[cfg(test)]
mod tests;
