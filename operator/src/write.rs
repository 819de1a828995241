//! Writes to the API server: server-side apply, each with a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Node, ObjectReference};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::{Api, Client};
use serde_json::json;
use stoq_crds::api::{StoqTransport, StoqTransportStatus};
use stoq_crds::{ObjectName, node_addresses};
use tokio::time::timeout;

use crate::metrics::Metrics;

/// Field manager and reporting controller.
const MANAGER: &str = "stoq-operator";
/// Longer nobody waits.
const PATIENCE: Duration = Duration::from_secs(4);

/// An event and what it is about.
pub(crate) type News = (Event, ObjectReference);

/// Something to write.
pub(crate) enum Write {
    /// With the events to tell once it is written.
    Status(ObjectName, Box<StoqTransportStatus>, Vec<News>),
    Addresses(String),
    Labels(Arc<str>, BTreeMap<String, String>),
    Event(Box<News>),
}

/// What came of it.
pub(crate) enum Outcome {
    /// The transport as it is now.
    Status(Box<StoqTransport>),
    Written,
    /// What it was about is gone.
    Gone,
}

/// Why it went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The API server says so.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// No answer.
    #[error("no answer in time")]
    Late,
}

impl Write {
    /// Its kind, as metrics name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Status(..) => "status",
            Self::Addresses(_) => "addresses",
            Self::Labels(..) => "labels",
            Self::Event(_) => "event",
        }
    }
}

/// Who writes.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    namespace: String,
    recorder: Recorder,
    metrics: Metrics,
}

impl Writer {
    /// Writes with the rights of the client; `instance` signs events.
    pub(crate) fn new(
        client: Client,
        namespace: String,
        instance: String,
        metrics: Metrics,
    ) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(instance),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            namespace,
            metrics,
        }
    }

    /// Writes, until `ends` at the latest: whoever leads then must not meet a write of ours.
    pub(crate) async fn write(&self, what: &Write, ends: Instant) -> Result<Outcome, Failure> {
        let patience = patience(Instant::now(), ends);
        let written = timeout(patience, self.send(what)).await;
        match written.map_err(|_| Failure::Late)? {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Outcome::Gone),
            written => Ok(written?),
        }
    }

    async fn send(&self, what: &Write) -> Result<Outcome, kube::Error> {
        // Addresses are compared first.
        if !matches!(what, Write::Addresses(_)) {
            self.metrics.wrote(what.kind());
        }
        match what {
            Write::Status(name, status, _) => self.status(name, status).await,
            Write::Addresses(text) => self.addresses(text).await,
            Write::Labels(node, labels) => self.labels(node, labels).await,
            Write::Event(event) => {
                self.recorder.publish(&event.0, &event.1).await?;
                Ok(Outcome::Written)
            }
        }
    }

    async fn status(
        &self,
        name: &ObjectName,
        status: &StoqTransportStatus,
    ) -> Result<Outcome, kube::Error> {
        let api = Api::<StoqTransport>::namespaced(self.client.clone(), &name.namespace);
        let patch = json!({
            "apiVersion": "stoq.io/v1alpha1",
            "kind": "StoqTransport",
            "metadata": {"name": name.name, "namespace": name.namespace},
            "status": status,
        });
        let patch = Patch::Apply(&patch);
        let written = api.patch_status(&name.name, &apply(), &patch).await?;
        Ok(Outcome::Status(Box::new(written)))
    }

    async fn addresses(&self, text: &str) -> Result<Outcome, kube::Error> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let name = node_addresses::CONFIG_MAP;
        let there = api.get_opt(name).await?.and_then(|there| there.data);
        if there
            .and_then(|mut data| data.remove(node_addresses::KEY))
            .as_deref()
            == Some(text)
        {
            return Ok(Outcome::Written);
        }
        self.metrics.wrote("addresses");
        let patch = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace},
            "data": {node_addresses::KEY: text},
        });
        api.patch(name, &apply(), &Patch::Apply(&patch)).await?;
        Ok(Outcome::Written)
    }

    async fn labels(
        &self,
        node: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Outcome, kube::Error> {
        let patch = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node, "labels": labels},
        });
        let api = Api::<Node>::all(self.client.clone());
        // Only metadata comes back: a node with its images is long.
        api.patch_metadata(node, &apply(), &Patch::Apply(&patch))
            .await?;
        Ok(Outcome::Written)
    }
}

fn apply() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

fn patience(now: Instant, ends: Instant) -> Duration {
    ends.saturating_duration_since(now).min(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Term;

    #[test]
    fn no_write_outlives_the_lease_that_it_began_with() {
        let asked = Instant::now();
        for seconds in [5, 6, 12, 15, 3600] {
            let duration = Duration::from_secs(seconds);
            let term = Term::new(asked, duration);
            for begun in [asked, term.begins_until, term.ends] {
                let ended = begun + patience(begun, term.ends);
                assert!(ended <= asked + duration, "{seconds} s, {begun:?}");
            }
        }
    }

    #[test]
    fn nobody_waits_for_ever() {
        let now = Instant::now();
        assert_eq!(patience(now, now + 9 * PATIENCE), PATIENCE);
    }
}
