//! One transport, and what the rest of the cluster means for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use stoq_crds::api::{StoqTransport, StoqTransportStatus};
use stoq_crds::{Conflict, Invalid, ObjectName, Phase, Pod, Timestamp, Transport};

use crate::aggregate;
use crate::front_ends::FrontEnds;
use crate::status::{self, Found, Refusal};

/// A transport.
pub(crate) struct Known {
    pub(crate) name: ObjectName,
    object: StoqTransport,
    pub(crate) parsed: Result<Transport, Invalid>,
    pub(super) conflict: Option<Conflict>,
    /// Selected pods that have not ended.
    pub(super) selected: BTreeSet<ObjectName>,
    /// Nodes of those that run, and how many run there.
    nodes: BTreeMap<Arc<str>, usize>,
    running: BTreeMap<ObjectName, Arc<str>>,
    pub(super) front_ends: FrontEnds,
    /// Whether this is another spec than the one there was before.
    pub(super) has_new_spec: bool,
}

impl Known {
    /// The object as it is now; what was known of it before goes on if it is about the same spec,
    /// or newer: what a write of ours came back with is there before the watch tells it.
    pub(super) fn new(name: ObjectName, mut object: StoqTransport, before: Option<Self>) -> Self {
        object.metadata.managed_fields = None;
        object.metadata.annotations = None;
        if let Some(mut before) = before
            && before.object.metadata.uid == object.metadata.uid
        {
            before.has_new_spec = false;
            if is_older(&object, &before.object) {
                return before;
            }
            if before.object.spec == object.spec {
                before.object = object;
                return before;
            }
        }
        let status = object.status.take();
        // Front ends in the status are of our own making, nothing to judge an object by.
        let parsed = Transport::parse(&object);
        object.status = status;
        Self {
            name,
            object,
            parsed,
            conflict: None,
            selected: BTreeSet::new(),
            nodes: BTreeMap::new(),
            running: BTreeMap::new(),
            front_ends: FrontEnds::default(),
            has_new_spec: true,
        }
    }

    pub(super) fn with_pods<'a>(mut self, pods: impl Iterator<Item = &'a Pod>) -> Self {
        for pod in pods {
            self.place(&pod.name, Some(pod));
        }
        self
    }

    /// Takes in what became of a pod; whether that concerns the transport.
    pub(super) fn place(&mut self, name: &ObjectName, pod: Option<&Pod>) -> bool {
        let Ok(transport) = &self.parsed else {
            return false;
        };
        let pod = pod.filter(|pod| transport.selects(pod));
        let was = match pod {
            Some(_) => !self.selected.insert(name.clone()),
            None => self.selected.remove(name),
        };
        let runs = pod.filter(|pod| pod.phase == Phase::Running);
        let node = runs.and_then(|pod| pod.node.as_deref());
        self.move_to(name, node);
        was || pod.is_some()
    }

    fn move_to(&mut self, pod: &ObjectName, node: Option<&str>) {
        let left = match node {
            Some(node) => self.running.insert(pod.clone(), node.into()),
            None => self.running.remove(pod),
        };
        if let Some(node) = node {
            *self.nodes.entry(node.into()).or_default() += 1;
        }
        if let Some(left) = left
            && let Some(count) = self.nodes.get_mut(&left)
        {
            *count -= 1;
            if *count == 0 {
                self.nodes.remove(&left);
            }
        }
    }

    /// Whether a pod of its namespace is selected.
    pub(super) fn selects(&self, pod: &str) -> bool {
        let name = ObjectName {
            namespace: self.name.namespace.clone(),
            name: pod.to_owned(),
        };
        self.selected.contains(&name)
    }

    /// Nodes on which it should be in force, of the cluster's.
    pub(super) fn nodes<'a>(
        &'a self,
        all: impl Iterator<Item = &'a Arc<str>>,
    ) -> BTreeSet<&'a Arc<str>> {
        if self.refusal().is_some() {
            return BTreeSet::new();
        }
        let every = all.filter(|_| self.front_ends.every_node);
        let own = self.nodes.keys().chain(&self.front_ends.local_nodes);
        own.chain(every).collect()
    }

    /// Whether it should be in force on the node.
    pub(super) fn is_on(&self, node: &Arc<str>) -> bool {
        let front_ends = &self.front_ends;
        self.nodes.contains_key(node)
            || front_ends.local_nodes.contains(node)
            || front_ends.every_node
    }

    #[cfg(test)]
    pub(crate) fn object(&self) -> &StoqTransport {
        &self.object
    }

    /// The status it has.
    pub(crate) fn there(&self) -> Option<&StoqTransportStatus> {
        self.object.status.as_ref()
    }

    /// For events about it.
    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            resource_version: None,
            ..self.object.object_ref(&())
        }
    }

    /// The status it should have, from what its nodes say.
    pub(super) fn status<'a>(
        &self,
        nodes: impl Iterator<Item = (&'a str, aggregate::Node<'a>)>,
        now: Timestamp,
    ) -> StoqTransportStatus {
        let generation = self.object.metadata.generation.unwrap_or(0);
        let told = self.there().map_or(&[][..], |status| &status.failures);
        let found = Found {
            generation,
            refusal: self.refusal(),
            front_ends: &self.front_ends,
            pods: self.running.len(),
            sum: aggregate::sum(nodes, generation, told, now),
        };
        status::build(found, self.there(), now)
    }

    fn refusal(&self) -> Option<Refusal<'_>> {
        match (&self.parsed, &self.conflict) {
            (Err(invalid), _) => Some(Refusal::Invalid(invalid)),
            (Ok(_), Some(conflict)) => Some(Refusal::Conflict(conflict)),
            (Ok(_), None) => None,
        }
    }
}

/// Versions are revisions of etcd wherever Kubernetes runs; from 1.35 on they may be compared by
/// contract. What is no number may be newer.
fn is_older(one: &StoqTransport, other: &StoqTransport) -> bool {
    let version = |of: &StoqTransport| of.metadata.resource_version.as_ref()?.parse::<u64>().ok();
    matches!((version(one), version(other)), (Some(one), Some(other)) if one < other)
}
