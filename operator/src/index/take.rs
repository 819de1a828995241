//! Taking news in: each kind of object, cut down to what is needed, and the transports it concerns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod as ApiPod, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;
use stoq_crds::api::{StoqNode, StoqTransport};
use stoq_crds::{ObjectName, Pod, Timestamp};

use super::heard::Heard;
use super::relist::Change;
use super::{Index, Known, NodeFacts};
use crate::addresses::NodeAddresses;
use crate::labels;
use crate::report::Report;
use crate::service::{Service, Slice};

impl Index {
    pub(super) fn take_transports(&mut self, event: Event<StoqTransport>) {
        for change in self.lists.transports.take(event, &self.transports, |one| {
            ObjectName::parse(&one.metadata).ok()
        }) {
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

    pub(super) fn transport_is_there(&mut self, name: ObjectName, object: StoqTransport) {
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

    pub(super) fn take_reports(
        &mut self,
        event: Event<StoqNode>,
        now: Timestamp,
        stale_after: Duration,
    ) {
        let words = &mut self.words;
        let name = |one: &StoqNode| Some(words.text(one.metadata.name.as_deref()?));
        for change in self.lists.reports.take(event, &self.reports, name) {
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
    pub(super) fn mark_all_on(&mut self, node: &Arc<str>) {
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

    pub(super) fn take_pods(&mut self, event: Event<ApiPod>) {
        for change in self.lists.pods.take(event, &self.pods, |one| {
            ObjectName::parse(&one.metadata).ok()
        }) {
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

    pub(super) fn take_services(&mut self, event: Event<ApiService>) {
        for change in self.lists.services.take(event, &self.services, |one| {
            ObjectName::parse(&one.metadata).ok()
        }) {
            let (name, service) = match change {
                Change::There(name, object) => (name, Service::read(&object)),
                Change::Gone(name) => (name, None),
            };
            self.changed.relations |= put(&mut self.services, name, service);
        }
    }

    pub(super) fn take_slices(&mut self, event: Event<EndpointSlice>) {
        for change in self.lists.slices.take(event, &self.slices, |one| {
            ObjectName::parse(&one.metadata).ok()
        }) {
            let (name, slice) = match change {
                Change::There(name, object) => (name, Slice::read(object, &mut self.words)),
                Change::Gone(name) => (name, None),
            };
            self.changed.relations |= put(&mut self.slices, name, slice);
        }
    }

    pub(super) fn take_nodes(&mut self, event: Event<Node>) {
        let words = &mut self.words;
        let name = |one: &Node| Some(words.text(one.metadata.name.as_deref()?));
        for change in self.lists.nodes.take(event, &self.nodes, name) {
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
