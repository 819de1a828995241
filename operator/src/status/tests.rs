use stoq_crds::api::{FrontEnd, FrontEndType, TrafficPolicy};

use super::*;
use crate::aggregate::{Node, sum};
use crate::fixture::{at, entry};
use crate::report::{Entry, Traffic};
use crate::rung::Rung;

fn status(
    nodes: &[(&str, Node<'_>)],
    before: Option<&StoqTransportStatus>,
    now: i64,
) -> StoqTransportStatus {
    let found = Found {
        generation: 1,
        refusal: None,
        front_ends: &FrontEnds::default(),
        pods: nodes.len(),
        sum: sum(nodes.iter().copied(), 1, &[], at(now)),
    };
    build(found, before, at(now))
}

fn said(status: &StoqTransportStatus, about: &str) -> String {
    let mut conditions = status.conditions.iter();
    let one = conditions.find(|one| one.type_ == about).unwrap();
    format!("{} {}: {}", one.status, one.reason, one.message)
}

#[test]
fn ready_is_what_every_node_says() {
    let (good, tcx) = (entry(), lower(true));
    let (lacking, old) = (
        lower(false),
        Entry {
            generation: 0,
            ..entry()
        },
    );
    let words = "MtuTooLarge: Peer MTU is too large";
    let cases: [(&[(&str, Node<'_>)], String); 8] = [
        (&[], "True Ready: no selected pod runs".into()),
        (&[("a", Node::Heard(Some(&good)))], "True Ready: in force on all 1 nodes".into()),
        (&[("a", Node::Heard(Some(&tcx)))], "True Ready: in force on all 1 nodes".into()),
        (
            &[("a", Node::Heard(Some(&good))), ("b", Node::Heard(Some(&lacking)))],
            format!("False NotReady: 1 of 2 nodes are not ready: b: {words}"),
        ),
        (
            &[("a", Node::Heard(Some(&old))), ("b", Node::Silent(None))],
            "False Pending: 2 of 2 nodes are not ready: a: Pending: the agent of this node has not taken it up yet".into(),
        ),
        (
            &[("a", Node::Heard(Some(&old))), ("b", Node::Heard(Some(&lacking)))],
            format!("False NotReady: 2 of 2 nodes are not ready: b: {words}"),
        ),
        (
            &[("a", Node::Heard(Some(&good))), ("b", Node::Silent(Some(at(1))))],
            "Unknown Silent: nothing is known of 1 of 2 nodes: b: Silent: the agent of this node no longer reports".into(),
        ),
        (
            &[("b", Node::Silent(None))],
            "Unknown Silent: nothing is known of 1 of 1 nodes: b: Silent: no agent has reported from this node".into(),
        ),
    ];
    for (nodes, expected) in cases {
        assert_eq!(said(&status(nodes, None, 0), "Ready"), expected);
    }
}

#[test]
fn one_that_is_not_ready_is_named_among_many_that_are_silent() {
    let names: Vec<_> = (0..10).map(|n| format!("a{n}")).collect();
    let silent = names.iter().map(|name| (name.as_str(), Node::Silent(None)));
    let nodes: Vec<_> = silent.chain([("b", Node::Heard(None))]).collect();
    let found = said(&status(&nodes, None, 0), "Ready");
    let wanted = "11 of 11 nodes are not ready: b: Pending: the agent";
    assert!(found.contains(wanted), "{found}");
}

#[test]
fn degraded_has_the_kernels_words() {
    let (good, tcx) = (entry(), lower(true));
    let nodes = [
        ("a", Node::Heard(Some(&good))),
        ("b", Node::Heard(Some(&tcx))),
    ];
    assert_eq!(
        said(&status(&nodes, None, 0), "Degraded"),
        "True MtuTooLarge: 1 of 2 nodes are on a lower rung than preferred: b: MtuTooLarge: Peer MTU is too large"
    );
    assert!(said(&status(&nodes[..1], None, 0), "Degraded").starts_with("False AsPreferred: "));
}

#[test]
fn silence_is_no_all_clear() {
    let (good, tcx) = (entry(), lower(true));
    let silent = ("b", Node::Silent(Some(at(1))));
    type Case<'a> = (&'a [(&'a str, Node<'a>)], &'static str, &'static str);
    let cases: [Case<'_>; 6] = [
        (&[], "False AsPreferred", "None"),
        (&[("a", Node::Heard(None))], "False AsPreferred", "None"),
        (
            &[("a", Node::Heard(Some(&good)))],
            "False AsPreferred",
            "Native",
        ),
        (
            &[("a", Node::Heard(Some(&good))), silent],
            "Unknown Silent",
            "Native",
        ),
        (
            &[("a", Node::Heard(Some(&tcx))), silent],
            "True MtuTooLarge",
            "Tcx",
        ),
        (&[silent], "Unknown Silent", "Unknown"),
    ];
    for (nodes, degraded, mode) in cases {
        let status = status(nodes, None, 0);
        let found = said(&status, "Degraded");
        assert!(found.starts_with(degraded), "{found} instead of {degraded}");
        assert_eq!(status.summary.unwrap().mode, mode);
    }
}

fn lower(ready: bool) -> Entry {
    Entry {
        ready,
        degraded: true,
        rung: Rung::Tcx,
        reason: "MtuTooLarge".into(),
        message: "Peer MTU is too large".into(),
        ..entry()
    }
}

#[test]
fn a_loser_says_who_won_and_nothing_of_nodes() {
    let name = |name: &str| crate::fixture::transport(name, 1).name;
    let conflict = Conflict {
        loser: name("d/young"),
        winner: name("d/old"),
        pod: name("d/edge-0"),
        port: std::num::NonZeroU16::MIN,
    };
    let front_ends = FrontEnds {
        list: vec![front_end()],
        ..FrontEnds::default()
    };
    let found = Found {
        generation: 3,
        refusal: Some(Refusal::Conflict(&conflict)),
        front_ends: &front_ends,
        pods: 1,
        sum: sum(std::iter::empty(), 3, &[], at(0)),
    };
    let status = build(found, None, at(0));
    assert_eq!(
        said(&status, "Accepted"),
        "False Conflict: port 1 of pod d/edge-0 belongs to d/old, which is older"
    );
    assert_eq!(said(&status, "Ready"), "False Conflict: not accepted");
    assert_eq!(
        (status.summary, status.observed_generation),
        (None, Some(3))
    );
    assert_eq!(status.front_ends, [], "the winner's, if anyone's");
}

fn front_end() -> FrontEnd {
    FrontEnd {
        kind: FrontEndType::NodePort,
        ip: None,
        port: 30_443,
        target_port: 4433,
        traffic_policy: TrafficPolicy::Cluster,
    }
}

#[test]
fn front_ends_of_one_in_force_are_told() {
    let front_ends = FrontEnds {
        list: vec![front_end()],
        ..FrontEnds::default()
    };
    let found = Found {
        generation: 1,
        refusal: None,
        front_ends: &front_ends,
        pods: 0,
        sum: sum(std::iter::empty(), 1, &[], at(0)),
    };
    assert_eq!(build(found, None, at(0)).front_ends, [front_end()]);
}

#[test]
fn front_ends_beyond_the_most_are_told() {
    let front_ends = FrontEnds {
        left_out: 3,
        ..FrontEnds::default()
    };
    let found = Found {
        generation: 1,
        refusal: None,
        front_ends: &front_ends,
        pods: 0,
        sum: sum(std::iter::empty(), 1, &[], at(0)),
    };
    let words = said(&build(found, None, at(0)), "Accepted");
    assert!(
        words.contains("3 of 3 front ends are not guarded"),
        "{words}"
    );
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let (good, tcx, lacking) = (entry(), lower(true), lower(false));
    let time = |status: &StoqTransportStatus| status.conditions[1].last_transition_time.clone();
    let first = status(&[("a", Node::Heard(Some(&good)))], None, 1);
    let second = status(&[("a", Node::Heard(Some(&tcx)))], Some(&first), 2);
    let third = status(&[("a", Node::Heard(Some(&lacking)))], Some(&second), 3);
    assert_eq!(
        [time(&first), time(&second), time(&third)],
        [Time(at(1)), Time(at(1)), Time(at(3))]
    );
}

#[test]
fn what_differs_decides_how_soon() {
    let with = |packets, second| {
        let traffic = Traffic {
            sums: [packets, 0, 0, 0],
            times: [None; 5],
            sampled_at: at(second),
        };
        let one = Entry {
            traffic: Some(Box::new(traffic)),
            ..entry()
        };
        status(&[("a", Node::Heard(Some(&one)))], None, 0)
    };
    let there = with(1, 1);
    for (wanted, expected) in [
        (there.clone(), None),
        (with(1, 2), Some(Urgency::Age)),
        (with(2, 1), Some(Urgency::Traffic)),
        (with(2, 2), Some(Urgency::Traffic)),
        (status(&[], None, 0), Some(Urgency::State)),
    ] {
        assert_eq!(urgency(Some(&there), &wanted), expected);
    }
    assert_eq!(urgency(None, &there), Some(Urgency::State));
}
