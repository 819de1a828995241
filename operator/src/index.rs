//! All that is known of the cluster, and which transports each piece of news concerns.

mod heard;
mod relate;
mod relist;
mod take;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod as ApiPod, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;
use stoq_crds::api::{StoqNode, StoqTransport, StoqTransportStatus};
use stoq_crds::{ObjectName, Pod, Timestamp};

use crate::addresses::{self, NodeAddresses};
use crate::aggregate;
use crate::service::{Service, Slice};
use crate::words::Words;
use heard::Heard;
use relist::Relist;
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

    /// Whether `changed` has something to say.
    pub(crate) fn has_changed(&self) -> bool {
        let Changed {
            transports,
            labels,
            addresses,
            relations,
        } = &self.changed;
        !transports.is_empty() || !labels.is_empty() || *addresses || *relations
    }

    /// Whether conflicts and front ends are those of the specs, pods and Services there are now.
    pub(crate) fn is_related(&self) -> bool {
        !self.changed.relations
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

    /// How many agents there are: each watches every transport.
    pub(crate) fn agents(&self) -> usize {
        self.reports.len()
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

    /// Takes in what a write of ours came back with, before the watch tells it.
    pub(crate) fn wrote(&mut self, object: StoqTransport) {
        // One of the same name that was made since is another one.
        if let Ok(name) = ObjectName::parse(&object.metadata)
            && let Some(known) = self.transports.get(&name)
            && known.reference().uid == object.metadata.uid
        {
            self.transport_is_there(name, object);
        }
    }
}

#[cfg(test)]
mod tests;
