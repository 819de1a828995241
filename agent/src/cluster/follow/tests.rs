use kube::runtime::watcher::{self, Event};

use super::*;
use crate::cluster::index::PODS;

fn listed() -> Index {
    let mut index = Index::default();
    index.take(Change::Transport(Event::InitDone));
    index.take(Change::Pod(Event::InitDone));
    index.take(Change::Addresses(Event::InitDone));
    index.take(Change::Own(Event::InitDone));
    index
}

#[test]
fn a_watch_that_fails_for_long_is_told_apart_from_what_is_refused() {
    let start = Instant::now();
    let mut failures = Failures::default();
    let after = |failures: &mut Failures, second| {
        let now = start + Duration::from_secs(second);
        failures.failed("pods", "watch pods: forbidden".to_owned(), now);
        known(&listed(), failures, now)
    };
    assert!(after(&mut failures, 0).unwrap().unheard.is_empty());
    let objects = after(&mut failures, 30).unwrap();
    let words = "watch pods: forbidden; what was last seen stays in force";
    assert_eq!(objects.unheard, [words]);
    assert!(objects.problems.is_empty(), "nothing is unsure");
    failures.heard("pods");
    let now = start + Duration::from_secs(31);
    assert!(
        known(&listed(), &mut failures, now)
            .unwrap()
            .unheard
            .is_empty()
    );
}

#[test]
fn what_is_waited_for_and_why_is_told_at_once() {
    let mut failures = Failures::default();
    let now = Instant::now();
    failures.failed("pods", "watch pods: forbidden".to_owned(), now);
    let mut index = listed();
    index.pods.complete = false;
    assert_eq!(
        known(&index, &mut failures, now).unwrap_err(),
        "waits for the API server to list pods: watch pods: forbidden"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_refused_again_and_again_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (mut follower, known) = Follower::new(listed(), directory.path());
    for _ in 0..4 {
        let error = watcher::Error::NoResourceVersion;
        follower.take(Ok(Change::Pod(Event::Init)));
        follower.take(Err(Failed { what: PODS, error }));
        follower.publish(false, Instant::now());
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert_eq!(known.borrow().as_ref().unwrap().unheard.len(), 1);
    follower.take(Ok(Change::Pod(Event::InitDone)));
    follower.publish(false, Instant::now());
    assert!(known.borrow().as_ref().unwrap().unheard.is_empty());
}
