use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::fixture::{at, entry};

fn failing(reason: &str, ready: bool, rung: Rung) -> Entry {
    Entry {
        ready,
        degraded: true,
        rung,
        reason: reason.into(),
        message: "ERANGE: Peer MTU is too large".into(),
        ..entry()
    }
}

fn told(sum: &Sum) -> Vec<String> {
    let failures = sum.failures.iter();
    failures
        .map(|one| format!("{} {}", one.node, one.reason))
        .collect()
}

#[test]
fn nodes_are_counted_by_rung_and_the_lowest_is_named() {
    let tcx = Entry {
        rung: Rung::Tcx,
        af_xdp: true,
        ..entry()
    };
    let native = entry();
    let nodes = [
        ("a", Node::Heard(Some(&native))),
        ("b", Node::Heard(Some(&tcx))),
        ("c", Node::Silent(None)),
    ];
    let sum = sum(nodes.into_iter(), 1, &[], at(0));
    let expected = NodeCounts {
        desired: 3,
        ready: 2,
        native: 1,
        tcx: 1,
        af_xdp: 1,
        ..Default::default()
    };
    assert_eq!((sum.counts, sum.rung), (expected, Some(Rung::Tcx)));
}

#[test]
fn without_nodes_there_is_nothing_and_nothing_wrong() {
    let sum = sum(std::iter::empty(), 1, &[], at(0));
    assert_eq!((sum.counts, sum.rung), (NodeCounts::default(), None));
    assert!(sum.troubles.is_empty() && sum.traffic.is_none());
}

#[test]
fn the_worst_is_told_first() {
    let (lacking, clsact) = (
        failing("MtuTooLarge", false, Rung::Tcx),
        failing("NotSupported", true, Rung::Clsact),
    );
    let (tcx, old) = (failing("DriverRejected", true, Rung::Tcx), entry());
    let nodes = [
        ("a", Node::Heard(Some(&tcx))),
        ("b", Node::Heard(Some(&clsact))),
        ("c", Node::Heard(None)),
        ("d", Node::Silent(Some(at(3)))),
        ("e", Node::Heard(Some(&lacking))),
        ("f", Node::Heard(Some(&old))),
    ];
    let sum = sum(nodes.into_iter(), 1, &[], at(0));
    assert_eq!(
        told(&sum),
        [
            "e MtuTooLarge",
            "d Silent",
            "c Pending",
            "b NotSupported",
            "a DriverRejected"
        ]
    );
    assert_eq!(sum.counts.ready, 3);
    let (worst, how_many) = sum.degraded.unwrap();
    assert_eq!((worst.node.as_str(), how_many), ("e", 3));
    assert_eq!(sum.failures[0].message, "ERANGE: Peer MTU is too large");
    assert_eq!(sum.failures[1].since, Time(at(3)));
}

#[test]
fn at_most_ten_are_told_and_all_are_counted() {
    let names: Vec<_> = (0..5000).map(|n| format!("n{n:04}")).collect();
    let nodes = names.iter().map(|name| (name.as_str(), Node::Silent(None)));
    let sum = sum(nodes, 1, &[], at(0));
    assert_eq!(
        (sum.failures.len(), sum.troubles[&Trouble::Silent]),
        (10, 5000)
    );
    assert_eq!(told(&sum)[9], "n0009 Silent");
}

#[test]
fn an_older_generation_is_pending() {
    for (generation, trouble) in [(1, None), (2, Some(Trouble::Pending))] {
        let one = Entry {
            generation: 1,
            ..entry()
        };
        assert_eq!(super::trouble(Node::Heard(Some(&one)), generation), trouble);
    }
}

#[test]
fn a_failure_keeps_its_time_while_its_reason_holds() {
    let told = |reason: &str| NodeFailure {
        node: "a".into(),
        reason: reason.into(),
        message: String::new(),
        since: Time(at(5)),
    };
    for (before, since) in [("Pending", 5), ("Silent", 9)] {
        let nodes = [("a", Node::Heard(None))];
        let sum = sum(nodes.into_iter(), 1, &[told(before)], at(9));
        assert_eq!(sum.failures[0].since, Time(at(since)), "{before}");
    }
}

#[test]
fn traffic_adds_up_and_times_are_the_longest() {
    let sample = |packets, p50: Option<u64>, at_second| Entry {
        traffic: Some(Box::new(Traffic {
            sums: [packets, i64::MAX, 0, 1],
            times: [p50.map(Duration::from_millis), None, None, None, None],
            sampled_at: at(at_second),
        })),
        ..entry()
    };
    let entries = [
        sample(1, None, 9),
        sample(2, Some(3), 7),
        sample(4, Some(2), 8),
    ];
    let nodes = entries.iter().map(|one| ("n", Node::Heard(Some(one))));
    let traffic = sum(nodes, 1, &[], at(0)).traffic.unwrap();
    assert_eq!(traffic.sums, [7, i64::MAX, 0, 3]);
    assert_eq!(traffic.times[0], Some(Duration::from_millis(3)));
    assert_eq!((traffic.times[1], traffic.sampled_at), (None, at(7)));
}

#[test]
fn a_reason_is_never_empty() {
    let one = Entry {
        ready: false,
        reason: Arc::from(""),
        ..entry()
    };
    let nodes = [("a", Node::Heard(Some(&one)))];
    assert_eq!(told(&sum(nodes.into_iter(), 1, &[], at(0))), ["a NotReady"]);
}
