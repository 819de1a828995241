//! What the loop last found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::metrics::{AfXdp, Connections, Reconciles};
use crate::status::Status;

/// What the loop last found, for those who ask meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    latest: Arc<Mutex<Latest>>,
    pub(super) news: Arc<Notify>,
}

/// See [`Shared`].
#[derive(Debug, Default)]
pub struct Latest {
    /// The status.
    pub status: Status,
    /// Connections by transport index.
    pub connections: BTreeMap<u32, Connections>,
    /// Passes so far.
    pub reconciles: Reconciles,
    /// Sessions of pods with AF_XDP sockets.
    pub af_xdp: AfXdp,
    /// When the last pass ended, or was put off for want of objects.
    pub passed: Option<Instant>,
    /// Whether there was a pass with a plan.
    pub planned: bool,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Problems of the HTTP server.
    pub http_problem: Option<String>,
}

impl Shared {
    /// The latest, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until a pass has ended that said something new. For one listener.
    pub async fn changed(&self) {
        self.news.notified().await;
    }
}
