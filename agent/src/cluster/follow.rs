//! Follows the watches, and publishes what is in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::cache;
use super::failures::Failures;
use super::index::{Change, Index};
use super::watches::{Changes, Failed};
use crate::objects::Objects;

/// What comes within this time of a first change is published with it.
const SETTLE: Duration = Duration::from_millis(20);

/// The objects, or why they are not known yet.
pub(super) type Known = Result<Arc<Objects>, String>;

/// See the module.
pub(super) struct Follower {
    index: Index,
    run_dir: PathBuf,
    /// Whether the cache holds the index.
    cached: bool,
    failures: Failures,
    /// Of these, what is published.
    unheard: Vec<String>,
    published: watch::Sender<Known>,
}

impl Follower {
    /// Begins with what an earlier agent saw, if that is known.
    pub(super) fn new(index: Index, run_dir: &Path) -> (Self, watch::Receiver<Known>) {
        let first = known(&index, &mut Failures::default(), Instant::now());
        if first.is_ok() {
            tracing::info!("goes on with what was last seen of the cluster");
        }
        let (published, known) = watch::channel(first);
        let follower = Self {
            cached: false,
            failures: Failures::default(),
            unheard: Vec::new(),
            index,
            run_dir: run_dir.to_owned(),
            published,
        };
        (follower, known)
    }

    /// Until nobody listens any more.
    pub(super) async fn run(mut self, mut changes: Changes) {
        loop {
            let forget = self.failures.due();
            tokio::select! {
                change = changes.next() => {
                    let Some(change) = change else { return };
                    let mut news = self.take(change);
                    let due = Instant::now() + SETTLE;
                    while let Ok(Some(change)) = timeout_at(due, changes.next()).await {
                        news |= self.take(change);
                    }
                    self.publish(news, Instant::now());
                }
                () = sleep_until(forget.unwrap_or_else(Instant::now)), if forget.is_some() => {
                    self.publish(false, Instant::now());
                }
            }
        }
    }

    /// Returns whether the index is another one.
    fn take(&mut self, change: Result<Change, Failed>) -> bool {
        match change {
            Ok(change) => {
                if let Some(watch) = change.heard() {
                    self.failures.heard(watch);
                }
                self.index.take(change)
            }
            Err(failed) => {
                let words = failed.to_string();
                if self.failures.failed(failed.what, words, Instant::now()) {
                    tracing::warn!("{failed}");
                }
                false
            }
        }
    }

    /// Parses everything and writes it down only where there is `news`.
    fn publish(&mut self, news: bool, now: Instant) {
        let unheard = self.failures.long(now);
        let waits = !self.index.missing().is_empty();
        if news || waits || unheard != self.unheard {
            self.unheard = unheard;
            let fresh = known(&self.index, &mut self.failures, now);
            self.published.send_if_modified(|now| {
                let news = *now != fresh;
                if news {
                    *now = fresh;
                }
                news
            });
        }
        self.cached &= !news;
        if !waits && !self.cached {
            self.cache();
        }
    }

    fn cache(&mut self) {
        let Ok(text) = cache::text(&self.index) else {
            return;
        };
        match cache::write(&self.run_dir, &text) {
            Ok(()) => self.cached = true,
            Err(error) => tracing::warn!("{}: {error}", self.run_dir.display()),
        }
    }
}

fn known(index: &Index, failures: &mut Failures, now: Instant) -> Known {
    let missing = index.missing();
    if missing.is_empty() {
        let mut objects = index.objects();
        objects.unheard = failures.long(now);
        return Ok(Arc::new(objects));
    }
    let words = [vec![missing.join(", ")], failures.words(now)].concat();
    Err(format!(
        "waits for the API server to list {}",
        words.join(": ")
    ))
}

#[cfg(test)]
mod tests;
