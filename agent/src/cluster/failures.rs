//! Watches that fail, and for how long.
//!
//! A watch that works again says nothing until something changes. So it counts as working once it
//! was heard, or has not failed for longer than it waits between two attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Failing for so long is worth a line in the status.
const LONG: Duration = Duration::from_secs(30);
/// No attempt comes later than this after the one before, with the time it takes.
const CALM: Duration = Duration::from_secs(60);

/// By watch.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<&'static str, Failing>);

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    words: String,
}

impl Failures {
    /// Notes a failure. Returns whether it is news.
    pub(super) fn failed(&mut self, watch: &'static str, words: String, now: Instant) -> bool {
        self.forget(now);
        let before = self.0.get(watch);
        let news = before.is_none_or(|before| before.words != words);
        let since = before.map_or(now, |before| before.since);
        let last = now;
        self.0.insert(watch, Failing { since, last, words });
        news
    }

    /// Notes that the watch works.
    pub(super) fn heard(&mut self, watch: &str) {
        self.0.remove(watch);
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, one| now < one.last + CALM);
    }

    /// Whatever goes wrong.
    pub(super) fn words(&mut self, now: Instant) -> Vec<String> {
        self.forget(now);
        self.0.values().map(|one| one.words.clone()).collect()
    }

    /// What has gone wrong for long.
    pub(super) fn long(&mut self, now: Instant) -> Vec<String> {
        self.forget(now);
        let long = self.0.values().filter(|one| one.last >= one.since + LONG);
        long.map(|one| format!("{}; what was last seen stays in force", one.words))
            .collect()
    }

    /// When one is forgotten, if nothing is heard before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|one| one.last + CALM).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Second, watch, whether it fails.
    type Event = (u64, &'static str, bool);

    #[test]
    fn a_watch_that_fails_for_long_is_told_until_it_works() {
        let cases: [(&str, &[Event], u64, &[&str]); 8] = [
            (
                "not for long",
                &[(0, "pods", true), (29, "pods", true)],
                29,
                &[],
            ),
            (
                "for long",
                &[(0, "pods", true), (30, "pods", true)],
                30,
                &["pods"],
            ),
            ("once, then in silence", &[(0, "pods", true)], 45, &[]),
            (
                "heard again",
                &[(0, "pods", true), (30, "pods", true), (31, "pods", false)],
                31,
                &[],
            ),
            (
                "another is heard",
                &[(0, "pods", true), (30, "pods", true), (31, "nodes", false)],
                31,
                &["pods"],
            ),
            (
                "in silence again",
                &[(0, "pods", true), (30, "pods", true)],
                90,
                &[],
            ),
            (
                "anew",
                &[(0, "pods", true), (30, "pods", true), (100, "pods", true)],
                101,
                &[],
            ),
            (
                "in turn",
                &[
                    (0, "pods", true),
                    (1, "nodes", true),
                    (32, "pods", true),
                    (33, "nodes", true),
                ],
                34,
                &["nodes", "pods"],
            ),
        ];
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        for (case, events, second, told) in cases {
            let mut failures = Failures::default();
            for (second, watch, fails) in events {
                if *fails {
                    failures.failed(watch, (*watch).to_owned(), at(*second));
                } else {
                    failures.heard(watch);
                }
            }
            let found = failures.long(at(second));
            let found: Vec<_> = found
                .iter()
                .filter_map(|words| words.split(';').next())
                .collect();
            assert_eq!(found, told, "{case}");
        }
    }

    #[test]
    fn the_same_failure_is_news_once_for_each_watch_and_outage() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let failed = |failures: &mut Failures, second, watch, words: &str| {
            failures.failed(watch, words.to_owned(), start + Duration::from_secs(second))
        };
        assert!(failed(&mut failures, 0, "pods", "refused"));
        assert!(failed(&mut failures, 1, "nodes", "refused too"));
        assert!(!failed(&mut failures, 2, "pods", "refused"));
        assert!(!failed(&mut failures, 3, "nodes", "refused too"));
        assert!(failed(&mut failures, 4, "pods", "forbidden"));
        failures.heard("pods");
        assert!(failed(&mut failures, 5, "pods", "forbidden"));
        assert!(failed(&mut failures, 65, "pods", "forbidden"));
        assert_eq!(failures.due(), Some(start + Duration::from_secs(125)));
    }
}
