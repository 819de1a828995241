//! What the HTTP server asks of the loop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use stoq_daemon::http::{self, Page, Sources};

use crate::metrics::Metrics;

/// What the loop last found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Latest>>);

/// See [`Shared`].
#[derive(Debug, Default)]
pub(crate) struct Latest {
    /// When the loop last turned.
    pub(crate) passed: Option<Instant>,
    /// Why it is not ready.
    pub(crate) unready: Option<String>,
}

impl Shared {
    /// The latest, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the process ends.
pub(crate) fn spawn(address: SocketAddr, shared: &Shared, metrics: Metrics) {
    let (passed, unready) = (shared.clone(), shared.clone());
    let page = Page {
        path: "/metrics",
        media_type: prometheus::TEXT_FORMAT,
        text: Arc::new(move || metrics.render()),
    };
    let sources = Sources {
        pages: vec![page],
        last_pass: Arc::new(move || passed.lock().passed),
        failure: Arc::new(move || unready.lock().unready.clone()),
        started: Instant::now(),
    };
    let problem = |text: Option<String>| {
        if let Some(text) = text {
            tracing::error!("{text}");
        }
    };
    tokio::spawn(async move { http::serve(address, sources, problem).await });
}
