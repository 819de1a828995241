//! Keeps the node's StoqNode current: at every change, at most once a second, and every 40 to 45 s.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use stoq_crds::api::StoqNodeStatus;
use stoq_crds::{StoqNode, Timestamp};
use stoq_daemon::random::between;
use stoq_ebpf::kernel;

use super::ClusterOptions;
use super::events::Events;
use super::identity::{node_uid, owner};
use super::patience::{Unanswered, within};
use crate::run::Shared;
use crate::serve::snapshot;
use crate::status::Status;
use crate::stoq_node::{self, Hardware, Hardwares, Sample, Traffic, changes};

/// Whose fields these are.
const MANAGER: &str = "stoq-agent";
/// Between two writes.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two writes without news, at least; up to [`JITTER`] more. The operator adds its own time, and the figures that
/// the cluster is told are to be 60 s old at most.
const PERIOD: Duration = Duration::from_secs(40);
const JITTER: Duration = Duration::from_secs(5);
const _: () = assert!(PERIOD.as_secs() + JITTER.as_secs() <= 45);
/// The first figures of what is new do not wait so long.
const FIRST: Duration = Duration::from_secs(10);
/// Between two attempts, after failures in a row.
const RETRY: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// See the module.
pub(super) struct Reporter {
    api: Api<StoqNode>,
    node: String,
    uid: Option<String>,
    events: Events,
    shared: Shared,
    maps: PathBuf,
    /// What the API server has, as far as is known.
    written: Option<StoqNodeStatus>,
    /// Counters of when the latest figures were taken.
    sample: Sample,
    traffic: Traffic,
    failures: usize,
    patience: Duration,
}

impl Reporter {
    /// `patience`: how long it waits for an answer.
    pub(super) fn new(
        client: Client,
        options: &ClusterOptions,
        shared: Shared,
        maps: PathBuf,
        patience: Duration,
    ) -> Self {
        let uid = node_uid(options);
        Self {
            api: Api::all(client.clone()),
            node: options.node.clone(),
            events: Events::new(client, options, uid.as_deref(), patience),
            uid,
            shared,
            maps,
            written: None,
            sample: Sample::default(),
            traffic: Traffic::new(),
            failures: 0,
            patience,
        }
    }

    /// For ever.
    pub(super) async fn run(mut self) {
        // What an earlier agent has written keeps its times.
        while let Err(error) = self.read().await {
            self.failed(&error).await;
        }
        let mut due = Instant::now() + FIRST;
        loop {
            let heartbeat = Instant::now() >= due;
            if heartbeat {
                self.sample().await;
                due = Instant::now() + PERIOD + JITTER.mul_f64(between(0.0, 1.0));
            } else if self.sample.lacks(&self.shared.lock().status) {
                let soon = Instant::now() + FIRST;
                // Figures of too short a time say nothing.
                due = if self.learn().await {
                    soon
                } else {
                    due.min(soon)
                };
            }
            self.write(heartbeat).await;
            let pause = tokio::time::sleep(PAUSE);
            let quiet = tokio::time::sleep_until(due.into());
            tokio::join!(pause, async {
                tokio::select! {
                    () = self.shared.changed() => {}
                    () = quiet => {}
                }
            });
        }
    }

    async fn read(&mut self) -> Result<(), Unanswered> {
        let found = within(self.patience, self.api.get_opt(&self.node)).await?;
        self.written = found.and_then(|node| node.status);
        Ok(())
    }

    /// Counters now, and what came since those of before.
    async fn sample(&mut self) {
        if let Some(after) = self.counters().await {
            self.traffic = stoq_node::traffic(&self.sample, &after);
            self.sample = after;
        }
    }

    /// Where what began to count since starts from. Returns whether nothing was known before.
    async fn learn(&mut self) -> bool {
        let first = self.sample.is_empty();
        if let Some(later) = self.counters().await {
            self.sample.learn(later);
        }
        first
    }

    async fn counters(&self) -> Option<Sample> {
        let (shared, maps) = (self.shared.clone(), self.maps.clone());
        let read = move || Sample::of(&snapshot(&shared, &maps), Timestamp::now());
        tokio::task::spawn_blocking(read).await.ok()
    }

    /// Until it is written, what there is to say.
    async fn write(&mut self, heartbeat: bool) {
        loop {
            // Nothing is said before anything was done.
            let Some(mut said) = self.said() else { return };
            if !heartbeat && self.written.as_ref() == Some(&said) {
                return;
            }
            let now = Timestamp::now();
            said.reported_at = Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now)));
            match within(self.patience, self.apply(&said)).await {
                Ok(()) => return self.done(said).await,
                Err(error) => self.failed(&error).await,
            }
        }
    }

    fn said(&self) -> Option<StoqNodeStatus> {
        let status = {
            let latest = self.shared.lock();
            latest.planned.then(|| latest.status.clone())?
        };
        let (hardware, now) = (hardware(&status), Timestamp::now());
        let previous = self.written.as_ref();
        Some(stoq_node::status(
            &status,
            &self.traffic,
            &hardware,
            previous,
            now,
        ))
    }

    async fn done(&mut self, said: StoqNodeStatus) {
        self.failures = 0;
        if let Some(before) = self.written.replace(said.clone()) {
            self.events.tell(&changes(&before, &said)).await;
        }
    }

    async fn apply(&self, status: &StoqNodeStatus) -> Result<(), kube::Error> {
        let params = PatchParams::apply(MANAGER).force();
        let object = json!({
            "apiVersion": "stoq.io/v1alpha1",
            "kind": "StoqNode",
            "metadata": {"name": self.node},
            "status": status,
        });
        let patch = Patch::Apply(&object);
        match self.api.patch_status(&self.node, &params, &patch).await {
            Err(kube::Error::Api(refused)) if refused.code == 404 => {
                self.create(&params).await?;
                self.api.patch_status(&self.node, &params, &patch).await?;
            }
            done => drop(done?),
        }
        Ok(())
    }

    /// Without any word on what an admin may ask there.
    async fn create(&self, params: &PatchParams) -> Result<(), kube::Error> {
        let owners: Vec<_> = self.uid.iter().map(|uid| owner(&self.node, uid)).collect();
        if owners.is_empty() {
            tracing::warn!("the node's uid is not known: its StoqNode will outlive it");
        }
        let object = json!({
            "apiVersion": "stoq.io/v1alpha1",
            "kind": "StoqNode",
            "metadata": {"name": self.node, "ownerReferences": owners},
            "spec": {},
        });
        self.api
            .patch(&self.node, params, &Patch::Apply(&object))
            .await
            .map(drop)
    }

    async fn failed(&mut self, error: &Unanswered) {
        let pause = RETRY[self.failures.min(RETRY.len() - 1)];
        if self.failures == 0 {
            tracing::warn!("StoqNode {}: {error}", self.node);
        }
        self.failures += 1;
        tokio::time::sleep(pause.mul_f64(between(0.75, 1.25))).await;
    }
}

/// What is behind the uplinks; asked for while their status is told, as it may come and go.
fn hardware(status: &Status) -> Hardwares {
    let uplinks = status.interfaces.iter().filter(|one| one.role == "uplink");
    let each = uplinks.map(|one| {
        let hardware = Hardware {
            driver: kernel::driver(&one.name).unwrap_or_default(),
            queues: kernel::queues(&one.name).ok().map(i64::from),
        };
        (one.name.clone(), hardware)
    });
    each.collect()
}

#[cfg(test)]
mod tests;
