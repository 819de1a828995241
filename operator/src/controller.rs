//! What to do next: from news to writes. Nothing here waits or talks to anyone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stoq_crds::{ObjectName, Timestamp};

use crate::budget::Budget;
use crate::events;
use crate::index::{Changed, Index, News};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::seconds;
use crate::status;
use crate::watches::Trouble;
use crate::write::{self, Failure, Outcome, Write};

/// Conflicts and front ends are found anew this often at most.
const RELATE_GAP: Duration = Duration::from_millis(100);
/// Events that wait; older ones are dropped.
const MOST_EVENTS: usize = 256;
/// After so many statuses in a row the rest has its turn.
const TURN: u32 = 7;
/// How long the addresses, or a node's labels, wait after a write that went wrong.
const RETRY: Duration = Duration::from_secs(5);
/// Nobody tells when another changes or deletes the addresses.
const ADDRESSES_GAP: Duration = Duration::from_secs(30);

/// The state of the loop.
pub(crate) struct Controller {
    index: Index,
    queue: Queue,
    rest: Rest,
    budget: Budget,
    metrics: Metrics,
    stale_after: Duration,
    active: bool,
    looked_at_news: Option<Instant>,
    statuses_in_row: u32,
}

/// What is written when no status has to be.
#[derive(Default)]
struct Rest {
    /// When the addresses are compared and written; `None` while this one does not lead.
    addresses: Option<Instant>,
    /// Nodes whose labels may be others, and when it is their turn.
    labels: BTreeMap<Arc<str>, Instant>,
    events: VecDeque<write::News>,
}

/// A write that has ended.
pub(crate) struct Done {
    pub(crate) write: Write,
    pub(crate) result: Result<Outcome, Failure>,
}

impl Controller {
    /// Knows nothing yet. A node silent for `stale_after` is not believed.
    pub(crate) fn new(metrics: Metrics, stale_after: Duration, now: Instant) -> Self {
        Self {
            index: Index::default(),
            queue: Queue::default(),
            rest: Rest::default(),
            budget: Budget::new(now),
            metrics,
            stale_after,
            active: false,
            looked_at_news: None,
            statuses_in_row: 0,
        }
    }

    /// Takes news in.
    pub(crate) fn take(&mut self, news: Result<News, Trouble>, clock: Timestamp) {
        match news {
            Ok(news) => self.index.take(news, clock, self.stale_after),
            Err(trouble) => {
                self.metrics.failed("watch");
                tracing::warn!("{trouble}");
            }
        }
    }

    /// Why this one could not lead, if so.
    pub(crate) fn unready(&self) -> Option<String> {
        let missing = self.index.missing();
        (!missing.is_empty()).then(|| format!("not listed yet: {}", missing.join(", ")))
    }

    /// Brings everything up to date; says when to come again.
    pub(crate) fn turn(&mut self, leads: bool, now: Instant, clock: Timestamp) -> Option<Instant> {
        self.metrics.leader.set(i64::from(leads));
        self.index.listen(clock, self.stale_after);
        let active = leads && self.index.missing().is_empty();
        let news_at = self.look_at_news(active, now);
        if !active {
            self.stop();
            return news_at;
        }
        // Statuses made of old conflicts and front ends would be false.
        if !self.index.is_related() {
            return news_at;
        }
        for name in self.queue.due(now) {
            self.look(&name, now, clock);
        }
        self.metrics.queue.set(self.queue.depth() as i64);
        news_at.into_iter().chain(self.queue.next_look()).min()
    }

    /// The next write, if there is one and a token for it.
    pub(crate) fn next_write(&mut self, now: Instant, clock: Timestamp) -> Option<Write> {
        if !self.active || !self.has_writes(now) || !self.budget.take(now) {
            return None;
        }
        let rest_first = self.statuses_in_row >= TURN || !self.has_statuses();
        let write = match rest_first {
            true => self.rest(now).or_else(|| self.status(now, clock)),
            false => self.status(now, clock).or_else(|| self.rest(now)),
        };
        self.statuses_in_row = match write {
            Some(Write::Status(..)) => self.statuses_in_row + 1,
            _ => 0,
        };
        write
    }

    /// When the next write may be sent, if one waits for nothing else.
    pub(crate) fn next_token(&self, has_room: bool) -> Option<Instant> {
        let next = self.budget.next();
        (has_room && self.active && self.has_writes(next)).then_some(next)
    }

    /// Takes in what came of a write.
    pub(crate) fn done(&mut self, done: Done, now: Instant) {
        let Done { write, result } = done;
        if let Err(error) = &result {
            self.metrics.failed(write.kind());
            tracing::warn!("write {}: {error}", write.kind());
        }
        match (write, result) {
            (Write::Status(name, _, news), Ok(outcome)) => {
                self.queue.written(&name, true, now);
                if let Outcome::Status(object) = outcome {
                    self.tell(news);
                    self.index.wrote(*object);
                }
            }
            (Write::Status(name, ..), Err(_)) => self.queue.written(&name, false, now),
            (_, Ok(_)) | (Write::Event(_), Err(_)) => {}
            (Write::Addresses(_), Err(_)) => self.rest.addresses = Some(now + RETRY),
            (Write::Labels(node, _), Err(_)) => {
                self.rest.labels.insert(node, now + RETRY);
            }
        }
    }

    fn look_at_news(&mut self, active: bool, now: Instant) -> Option<Instant> {
        let began = active && !std::mem::replace(&mut self.active, active);
        if began {
            let everything = self.index.everything();
            self.mark(everything, now);
        }
        let allowed = self.looked_at_news.map_or(now, |at| at + RELATE_GAP);
        if !self.index.has_changed() && !began {
            return None;
        }
        if now < allowed && !began {
            return Some(allowed);
        }
        self.looked_at_news = Some(now);
        let changed = self.index.changed();
        if active {
            self.mark(changed, now);
        }
        None
    }

    fn mark(&mut self, changed: Changed, now: Instant) {
        for name in changed.transports {
            match self.index.transport(&name) {
                Some(_) => self.queue.mark(&name, now),
                None => self.queue.forget(&name),
            }
        }
        for node in changed.labels {
            self.rest.labels.entry(node).or_insert(now);
        }
        if changed.addresses {
            self.rest.addresses = Some(now);
        }
    }

    fn stop(&mut self) {
        self.queue.clear();
        self.rest = Rest::default();
        self.metrics.queue.set(0);
    }

    /// Works out the status of a transport, and how soon it must be written.
    fn look(&mut self, name: &ObjectName, now: Instant, clock: Timestamp) {
        let Some(known) = self.index.transport(name) else {
            self.queue.forget(name);
            return;
        };
        // `now` is when the turn began.
        let began = Instant::now();
        let wanted = self.index.status(known, seconds::whole(clock));
        let found = status::urgency(known.there(), &wanted);
        self.metrics.reconciled(began.elapsed(), found.is_some());
        self.queue.looked(name, found, self.index.agents(), now);
    }

    fn has_writes(&self, now: Instant) -> bool {
        self.has_statuses() || self.rest.has_any(now)
    }

    fn has_statuses(&self) -> bool {
        self.index.is_related() && self.queue.has_ready()
    }

    fn status(&mut self, now: Instant, clock: Timestamp) -> Option<Write> {
        // A write that has just ended may have brought another spec.
        while self.has_statuses() {
            let name = self.queue.take(now)?;
            let known = self.index.transport(&name);
            // Worked out anew: it may be a while since it was looked at.
            let wanted =
                known.map(|known| (known, self.index.status(known, seconds::whole(clock))));
            match wanted {
                Some((known, wanted)) if known.there() != Some(&wanted) => {
                    let news = events::events(known.there(), &wanted).into_iter();
                    let news = news.map(|event| (event, known.reference())).collect();
                    return Some(Write::Status(name, Box::new(wanted), news));
                }
                _ => self.queue.written(&name, true, now),
            }
        }
        None
    }

    fn rest(&mut self, now: Instant) -> Option<Write> {
        if !self.rest.has_any(now) {
            return None;
        }
        if self.rest.has_addresses(now) {
            self.rest.addresses = Some(now + ADDRESSES_GAP);
            return Some(Write::Addresses(self.index.addresses()));
        }
        if let Some(event) = self.rest.events.pop_front() {
            return Some(Write::Event(Box::new(event)));
        }
        while let Some(node) = self.rest.next_labels(now) {
            self.rest.labels.remove(&node);
            if let Some(labels) = self.index.labels(&node) {
                return Some(Write::Labels(node, labels));
            }
        }
        None
    }

    fn tell(&mut self, news: Vec<write::News>) {
        self.rest.events.extend(news);
        while self.rest.events.len() > MOST_EVENTS {
            self.rest.events.pop_front();
        }
    }
}

impl Rest {
    fn has_any(&self, now: Instant) -> bool {
        self.has_addresses(now) || !self.events.is_empty() || self.next_labels(now).is_some()
    }

    fn has_addresses(&self, now: Instant) -> bool {
        self.addresses.is_some_and(|at| at <= now)
    }

    /// The node that has waited longest.
    fn next_labels(&self, now: Instant) -> Option<Arc<str>> {
        let due = self.labels.iter().filter(|(_, at)| **at <= now);
        let first = due.min_by_key(|(_, at)| **at);
        first.map(|(node, _)| node.clone())
    }
}

#[cfg(test)]
mod tests;
