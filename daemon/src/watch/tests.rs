use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client};
use tokio::time::Instant;
use tower::service_fn;

use super::{LONGEST, watch};

const EMPTY: &str =
    r#"{"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []}"#;
const EXPIRED: &str = r#"{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version: 7 (9)"}}"#;

/// Pods of an API server that refuses so many lists, and forgets all changes after the first one.
fn pods(refused: usize) -> Api<Pod> {
    let lists = Arc::new(Mutex::new(0));
    let answer = service_fn(move |request: http::Request<Body>| {
        let watched = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch="));
        let mut lists = lists.lock().unwrap();
        *lists += usize::from(!watched);
        let (code, body) = match (watched, *lists - 1) {
            (false, list) if list < refused => (503, ""),
            (false, _) => (200, EMPTY),
            (true, _) => (200, EXPIRED),
        };
        let body = Body::from(body.as_bytes().to_vec());
        let answer = http::Response::builder().status(code).body(body);
        async { answer }
    });
    Api::all(Client::new(answer, "default"))
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_during_an_outage_is_listed_soon_after_it() {
    let mut events = pin!(watch(pods(6), Config::default()));
    let (mut last, mut longest, mut lists) = (Instant::now(), Duration::ZERO, Vec::new());
    while lists.len() < 3 {
        match events.next().await.unwrap() {
            Err(_) => longest = longest.max(last.elapsed()),
            Ok(Event::InitDone) => lists.push(last.elapsed()),
            Ok(_) => continue,
        }
        last = Instant::now();
    }
    // It was asked ever more rarely, but not too rarely;
    assert!(
        longest > LONGEST / 2 && longest <= 2 * LONGEST,
        "{longest:?}"
    );
    // no more so since it answers.
    assert!(
        lists[1..].iter().all(|took| *took < Duration::from_secs(1)),
        "{lists:?}"
    );
}
