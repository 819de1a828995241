//! What the agent serves: `/metrics`, `/healthz`, `/readyz` and `/status`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
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
                let served = axum::serve(listener, router(sources.clone())).await;
                tracing::warn!("http on {addr} ended: {served:?}");
            }
            Err(error) => {
                problem(Some(error.to_string()));
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// The pages.
pub fn router(sources: Sources) -> Router {
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
    match (sources.last_pass)() {
        Some(_) => "ok\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no pass completed yet\n").into_response(),
    }
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
mod tests {
    use super::*;
    use crate::status::Status;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::watch;
    use tokio::time::timeout;

    #[tokio::test]
    async fn every_page_answers() {
        let addr = start(sources(Some(Instant::now()))).await;
        let cases = [
            ("/metrics", "200", "stoq_build_info{version=\"9.9\"} 1"),
            ("/metrics", "200", "content-type: text/plain; version=0.0.4"),
            ("/healthz", "200", "ok"),
            ("/readyz", "200", "ok"),
            ("/status", "200", "\"agentVersion\": \"9.9\""),
            ("/status", "200", "content-type: application/json"),
            ("/metric", "404", "no /metric here; there are /metrics"),
        ];
        for (path, code, part) in cases {
            let answer = get(addr, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{path}");
            assert!(answer.contains(part), "{path}: {answer}");
        }
    }

    #[tokio::test]
    async fn the_loop_decides_health_and_readiness() {
        let now = Instant::now();
        let old = now.checked_sub(STUCK_AFTER * 2).unwrap();
        let cases = [
            (now, None, "200", "503"),
            (old, None, "503", "503"),
            (old, Some(now), "200", "200"),
            (old, Some(old), "503", "200"),
        ];
        for (started, last_pass, healthy, ready) in cases {
            let from = sources(last_pass);
            let addr = start(Sources { started, ..from }).await;
            for (path, code) in [("/healthz", healthy), ("/readyz", ready)] {
                let answer = get(addr, path).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
            }
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_a_problem_until_it_is_free() {
        let taken = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = taken.local_addr().unwrap();
        let (problem, mut seen) = watch::channel(None);
        let tell = move |text| {
            problem.send_replace(text);
        };
        let serving = tokio::spawn(serve(addr, sources(None), tell));
        let deadline = RETRY_AFTER * 3;
        let said = timeout(deadline, seen.wait_for(Option::is_some)).await;
        let said = said.unwrap().unwrap().clone().unwrap();
        assert!(
            said.starts_with(&format!("listen on {addr} for http: ")),
            "{said}"
        );
        drop(taken);
        let free = timeout(deadline, seen.wait_for(Option::is_none)).await;
        assert!(free.unwrap().is_ok());
        assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
        serving.abort();
    }

    fn sources(last_pass: Option<Instant>) -> Sources {
        let snapshot = || Snapshot {
            status: Status {
                agent_version: "9.9".to_owned(),
                ..Status::default()
            },
            ..Snapshot::default()
        };
        Sources {
            snapshot: Arc::new(snapshot),
            last_pass: Arc::new(move || last_pass),
            started: Instant::now(),
        }
    }

    async fn start(sources: Sources) -> SocketAddr {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(sources)).await });
        addr
    }

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
