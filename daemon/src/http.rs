//! What a daemon serves: `/healthz`, `/readyz`, and pages of its own.

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

/// A pass that takes longer is taken for stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How long to wait for an address that is taken.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A page beside `/healthz` and `/readyz`.
#[derive(Clone)]
pub struct Page {
    /// Its path.
    pub path: &'static str,
    /// Media type of its text.
    pub media_type: &'static str,
    /// Makes the text, or says why not; may block.
    pub text: Arc<dyn Fn() -> Result<String, String> + Send + Sync>,
}

/// Where the answers come from.
#[derive(Clone)]
pub struct Sources {
    /// The daemon's own pages.
    pub pages: Vec<Page>,
    /// When the daemon's loop last completed a pass; `None`: not yet.
    pub last_pass: Arc<dyn Fn() -> Option<Instant> + Send + Sync>,
    /// Why the last pass failed, if it did.
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

/// The pages. However many ask at once, texts are made one by one.
pub fn router(sources: Sources) -> Router {
    let turn = Arc::new(Mutex::new(()));
    let mut router = Router::new();
    for page in sources.pages.clone() {
        let turn = turn.clone();
        router = router.route(page.path, get(move || show(page.clone(), turn.clone())));
    }
    router
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .fallback(unknown)
        .with_state(sources)
}

async fn show(page: Page, turn: Arc<Mutex<()>>) -> Response {
    let text = spawn_blocking(move || {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        (page.text)()
    });
    match text.await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, page.media_type)], text).into_response(),
        Ok(Err(words)) => failed(words),
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

async fn unknown(State(sources): State<Sources>, uri: Uri) -> Response {
    let own = sources.pages.iter().map(|page| page.path);
    let pages: Vec<_> = own.chain(["/healthz", "/readyz"]).collect();
    let text = format!("no {} here; there are {}\n", uri.path(), pages.join(", "));
    (StatusCode::NOT_FOUND, text).into_response()
}

fn failed(error: impl Display) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests;
