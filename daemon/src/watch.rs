//! A client of the API server, and watches that come back soon after it does.

use std::fmt::Debug;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{Config, Error, Event, ExponentialBackoff, Result, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

/// Between two attempts, doubled each time; up to twice as long by chance, so that thousands of
/// agents do not come at once.
const PAUSE: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(10);
/// As long without an error, and the pauses begin anew: longer than any of them.
const CALM: Duration = Duration::from_secs(30);
/// How long one watch lasts, in seconds: as late, at most, is a connection given up that has died
/// without a word.
const WATCHED: u32 = 120;
/// The same for whatever else is read: a watch ends before.
const READ: Duration = Duration::from_secs(150);

/// A client that gives up dead connections.
pub fn client(mut config: kube::Config) -> kube::Result<Client> {
    config.read_timeout = Some(READ);
    // Not from when a pooled connection was last used.
    config.reset_reader_on_write = true;
    Client::try_from(config)
}

/// What changes of these objects, never ending: errors are passed on, and it is tried again.
///
/// An API server that was away does not know what has changed since. The list that is then needed
/// is no further error, and waits no longer than the first one.
pub fn watch<K>(api: Api<K>, config: Config) -> impl Stream<Item = Result<Event<K>>> + Send
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config.timeout(WATCHED))
        .filter_map(|event| async {
            if is_expired(&event) {
                tokio::time::sleep(PAUSE).await;
                return None;
            }
            Some(event)
        })
        .backoff(Pauses::new())
}

/// Grow with each error until there was none for [`CALM`]. Not until something went well, as kube's
/// own do: to begin a list is that already, and each list that is refused would begin the next one
/// within a second.
struct Pauses(ResetTimerBackoff<ExponentialBackoff>);

impl Pauses {
    fn new() -> Self {
        let growing = ExponentialBuilder::default()
            .with_min_delay(PAUSE)
            .with_max_delay(LONGEST)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times();
        Self(ResetTimerBackoff::new(growing.into(), CALM))
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

fn is_expired<K>(event: &Result<Event<K>>) -> bool {
    matches!(event, Err(Error::WatchError(status)) if status.code == 410)
}

#[cfg(test)]
mod tests;
