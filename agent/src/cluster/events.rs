//! Events about the node: that a rung is another one.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::ClusterOptions;
use super::identity::reference;
use super::patience::{Unanswered, within};
use crate::stoq_node::Change;

/// Events at once, and how long until one more.
const BURST: u32 = 10;
const EACH: Duration = Duration::from_secs(10);

/// Sends events, few enough not to burden the API server.
pub(super) struct Events {
    recorder: Recorder,
    node: ObjectReference,
    budget: Budget,
    patience: Duration,
}

impl Events {
    pub(super) fn new(
        client: Client,
        options: &ClusterOptions,
        uid: Option<&str>,
        patience: Duration,
    ) -> Self {
        let reporter = Reporter {
            controller: "stoq-agent".into(),
            instance: Some(options.pod.clone().unwrap_or_else(|| options.node.clone())),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            node: reference(&options.node, uid),
            budget: Budget::new(Instant::now()),
            patience,
        }
    }

    /// Tells of each change that the budget has room for, while there are answers; the rest, the StoqNode says.
    pub(super) async fn tell(&mut self, changes: &[Change]) {
        for change in changes {
            tracing::info!("{}", change.note);
            if !self.budget.take(Instant::now()) {
                continue;
            }
            let event = event(change);
            let published = self.recorder.publish(&event, &self.node);
            let Err(error) = within(self.patience, published).await else {
                continue;
            };
            tracing::warn!("event: {error}");
            if matches!(error, Unanswered::Late(_)) {
                // The status must not wait for the others.
                return;
            }
        }
    }
}

/// Events of one transport are not merged with those of another.
fn event(change: &Change) -> Event {
    const NOTE: usize = 1000;
    let kinds = [EventType::Normal, EventType::Warning];
    Event {
        type_: kinds[usize::from(change.lower)],
        reason: change.reason.clone(),
        note: Some(change.note.chars().take(NOTE).collect()),
        action: change.action.clone(),
        secondary: change
            .transport
            .clone()
            .map(|(namespace, name)| ObjectReference {
                api_version: Some("stoq.io/v1alpha1".into()),
                kind: Some("StoqTransport".into()),
                namespace: Some(namespace),
                name: Some(name),
                ..ObjectReference::default()
            }),
    }
}

/// A bucket of events.
#[derive(Debug)]
struct Budget {
    left: u32,
    filled: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.duration_since(self.filled) >= EACH {
            self.left += 1;
            self.filled += EACH;
        }
        if self.left == BURST {
            self.filled = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_events_is_followed_by_one_now_and_then() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let told = |budget: &mut Budget, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            (0..100).filter(|_| budget.take(now)).count()
        };
        for (second, expected) in [(0, 10), (9, 0), (10, 1), (45, 3), (1000, 10)] {
            assert_eq!(told(&mut budget, second), expected, "{second} s");
        }
    }
}
