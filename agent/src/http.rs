//! What the agent serves: `/metrics`, `/healthz`, `/readyz` and `/status`.

mod connections;

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::metrics::{self, Snapshot};

/// A pass that takes longer is taken for stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How long to wait for an address that is taken.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Where the answers come from.
#[derive(Clone)]
pub struct Sources {
    /// Collects a snapshot; may block.
    pub snapshot: Arc<dyn Fn() -> Snapshot + Send + Sync>,
    /// When the agent's loop last completed a pass; `None`: not yet.
    pub last_pass: Arc<dyn Fn() -> Option<Instant> + Send + Sync>,
    /// Why the agent's last pass failed, if it did.
    pub failure: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// When the loop began: from then on the first pass is waited for.
    pub started: Instant,
}

/// The address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {addr} for http: {source}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// Why not.
    pub source: std::io::Error,
}

/// Listens on the address.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind(addr).await;
    bound.map_err(|source| BindError { addr, source })
}

/// Serves for ever. While the address is taken it is tried again; `problem` is told what is wrong, and `None` when it
/// is over.
pub async fn serve(addr: SocketAddr, sources: Sources, problem: impl Fn(Option<String>)) {
    loop {
        match bind(addr).await {
            Ok(listener) => {
                problem(None);
                // Ends only with an error of the listener: it is bound anew.
                let ended = connections::serve(&listener, &router(sources.clone())).await;
                tracing::warn!("http on {addr} ended: {ended}");
            }
            Err(error) => {
                problem(Some(error.to_string()));
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// The pages. However many ask at once, snapshots are taken one by one.
pub fn router(sources: Sources) -> Router {
    let (turn, take) = (Mutex::new(()), sources.snapshot);
    let snapshot = move || {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        take()
    };
    let sources = Sources {
        snapshot: Arc::new(snapshot),
        ..sources
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .fallback(unknown)
        .with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let page = spawn_blocking(move || metrics::render(&(sources.snapshot)())).await;
    answer(metrics::TEXT_FORMAT, page)
}

async fn status(State(sources): State<Sources>) -> Response {
    let json = spawn_blocking(move || serde_json::to_string_pretty(&(sources.snapshot)().status));
    match json.await {
        Ok(json) => answer("application/json", json),
        Err(error) => failed(error),
    }
}

async fn health(State(sources): State<Sources>) -> Response {
    let since = (sources.last_pass)().unwrap_or(sources.started).elapsed();
    if since <= STUCK_AFTER {
        return "ok\n".into_response();
    }
    let text = format!("no pass completed for {} s\n", since.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn ready(State(sources): State<Sources>) -> Response {
    let unready = match (sources.last_pass)() {
        None => "no pass completed yet".to_owned(),
        Some(_) => match (sources.failure)() {
            None => return "ok\n".into_response(),
            Some(words) => words,
        },
    };
    (StatusCode::SERVICE_UNAVAILABLE, unready + "\n").into_response()
}

async fn unknown(uri: Uri) -> Response {
    let pages = "/metrics, /healthz, /readyz, /status";
    let text = format!("no {} here; there are {pages}\n", uri.path());
    (StatusCode::NOT_FOUND, text).into_response()
}

fn answer<E: Display>(media_type: &'static str, page: Result<String, E>) -> Response {
    match page {
        Ok(page) => ([(CONTENT_TYPE, media_type)], page).into_response(),
        Err(error) => failed(error),
    }
}

fn failed(error: impl Display) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests;
