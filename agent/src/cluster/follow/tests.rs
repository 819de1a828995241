use kube::runtime::watcher::Event;

use super::*;

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
