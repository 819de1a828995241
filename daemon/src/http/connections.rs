//! Serves so many at once, each one request, in bounded time: whoever is slow holds up few others
//! and not for long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections at once; further ones wait to be taken in.
pub(super) const AT_ONCE: usize = 16;
/// How long a request may take to arrive.
pub(super) const HEADER_WITHIN: Duration = Duration::from_secs(5);
/// How long a request and its answer may take together.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Serves until the listener fails.
pub(super) async fn serve(listener: &TcpListener, router: &Router) -> io::Error {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let permit = match permits.clone().acquire_owned().await {
            Ok(permit) => permit,
            Err(closed) => return io::Error::other(closed),
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_the_peers(&error) => continue,
            Err(error) => return error,
        };
        let router = router.clone();
        tokio::spawn(async move {
            answer(stream, router).await;
            drop(permit);
        });
    }
}

/// The connection was gone before it was taken in.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    let kinds = [ConnectionAborted, ConnectionRefused, ConnectionReset];
    kinds.contains(&error.kind())
}

async fn answer(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .keep_alive(false);
    let service = TowerToHyperService::new(router);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    match timeout(ANSWERED_WITHIN, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("http: {error}"),
        Err(elapsed) => tracing::debug!("http: {elapsed}"),
    }
}
