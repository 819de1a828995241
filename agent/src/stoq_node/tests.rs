use super::*;
use crate::status::{AttachedStatus, InterfaceStatus, PodStatus, TransportStatus};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn transport(name: &str, mode: &str, pods: usize) -> TransportStatus {
    let pod = |number: usize| PodStatus {
        name: format!("lab/{name}-{number}"),
        ..PodStatus::default()
    };
    TransportStatus {
        namespace: "lab".into(),
        name: name.into(),
        accepted: true,
        ready: mode != "None",
        mode: mode.into(),
        reason: mode.into(),
        pods: (0..pods).map(pod).collect(),
        ..TransportStatus::default()
    }
}

fn uplink(mode: &str, program_id: u32) -> InterfaceStatus {
    InterfaceStatus {
        name: "eth0".into(),
        role: "uplink".into(),
        attached: vec![AttachedStatus {
            program: "stoq_uplink".into(),
            hook: "xdp".into(),
            mode: mode.into(),
            program_id,
        }],
        ..InterfaceStatus::default()
    }
}

fn node(transports: Vec<TransportStatus>) -> Status {
    let host_side = InterfaceStatus {
        name: "cali1".into(),
        role: "pod".into(),
        ..InterfaceStatus::default()
    };
    Status {
        interfaces: vec![uplink("Native", 40), host_side],
        transports,
        ..Status::default()
    }
}

fn said(status: &Status, previous: Option<&StoqNodeStatus>, second: i64) -> StoqNodeStatus {
    super::status(
        status,
        &Traffic::new(),
        &Hardwares::new(),
        previous,
        at(second),
    )
}

#[test]
fn times_move_with_what_they_are_about_and_survive_a_restart() {
    let native = node(vec![transport("edge", "Native", 1)]);
    let first = said(&native, None, 10);
    // A new agent has read the first from the API server.
    assert_eq!(said(&native, Some(&first), 20), first);
    let tcx = node(vec![transport("edge", "Tcx", 1)]);
    let second = said(&tcx, Some(&first), 30);
    let since = |said: &StoqNodeStatus| said.transports[0].since.clone().unwrap().0.as_second();
    assert_eq!((since(&first), since(&second)), (10, 30));
    let ready = |said: &StoqNodeStatus| said.conditions[0].last_transition_time.0.as_second();
    assert_eq!(ready(&second), 10, "it is ready as before");
    assert_eq!(second.interfaces, first.interfaces);
    let none = said(&node(vec![transport("edge", "None", 1)]), Some(&second), 40);
    assert_eq!((ready(&none), &*none.conditions[0].status), (40, "False"));
}

#[test]
fn another_program_has_another_time() {
    let first = said(&node(vec![]), None, 10);
    let mut renewed = node(vec![]);
    renewed.interfaces[0] = uplink("Native", 41);
    let second = said(&renewed, Some(&first), 20);
    let since = second.interfaces[0].attached[0].since.clone().unwrap();
    assert_eq!(since.0.as_second(), 20);
}

#[test]
fn only_what_concerns_the_node_is_told() {
    let far = transport("far", "None", 0);
    let behind = TransportStatus {
        front_ends: 2,
        ..transport("behind", "Native", 0)
    };
    let loser = TransportStatus {
        accepted: false,
        ready: false,
        reason: "Conflict".into(),
        ..transport("loser", "None", 0)
    };
    let found = said(
        &node(vec![transport("edge", "Native", 2), far, behind, loser]),
        None,
        0,
    );
    let names: Vec<_> = found
        .transports
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["edge", "behind", "loser"]);
    let interfaces: Vec<_> = found
        .interfaces
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(interfaces, ["eth0"]);
}

#[test]
fn the_summary_is_of_the_lowest_rung_and_counts_each_pod_once() {
    let mut twice = transport("edge", "Tcx", 2);
    twice.name = "other".into();
    for (transports, mode, ready, pods) in [
        (vec![], "None", "0/0", 0),
        (vec![transport("edge", "Native", 2)], "Native", "1/1", 2),
        (vec![transport("edge", "Native", 2), twice], "Tcx", "2/2", 2),
        (
            vec![transport("a", "Generic", 1), transport("b", "None", 1)],
            "None",
            "1/2",
            2,
        ),
    ] {
        let found = said(&node(transports), None, 0).summary.unwrap();
        assert_eq!(
            (&*found.mode, &*found.transports, found.pods),
            (mode, ready, pods)
        );
    }
}

#[test]
fn a_paused_node_is_not_ready_and_says_so() {
    let paused = Status {
        paused: true,
        node_generation: Some(4),
        ..node(vec![])
    };
    let found = said(&paused, None, 0);
    let ready = &found.conditions[0];
    assert_eq!((&*ready.status, &*ready.reason), ("False", "Paused"));
    assert_eq!(
        (found.observed_generation, ready.observed_generation),
        (Some(4), Some(4))
    );
}

#[test]
fn the_words_of_what_is_not_ready_are_the_condition_s() {
    let lost = |name: &str| TransportStatus {
        reason: "MtuTooLarge".into(),
        message: "eth0: ERANGE".into(),
        ..transport(name, "None", 1)
    };
    let found = said(
        &node(vec![lost("a"), transport("b", "Native", 1), lost("c")]),
        None,
        0,
    );
    let expected = "transport lab/a: MtuTooLarge: eth0: ERANGE (and 1 more)";
    assert_eq!(found.conditions[0].message, expected);
}

#[test]
fn a_full_node_is_told_in_less_than_8_kib() {
    // 110 pods in 10 transports, everything refused in many words.
    let words = "the kernel's own words, at length. ".repeat(20);
    let mut full = node(Vec::new());
    for number in 0..10 {
        let transport = transport(&format!("transport-{number}"), "Tcx", 11);
        full.transports.push(TransportStatus {
            message: words.clone(),
            ..transport
        });
    }
    for number in 0..26 {
        full.gates.push(GateStatus {
            name: format!("capability-{number}"),
            state: "Unavailable".into(),
            reason: "PermissionDenied".into(),
            message: words.clone(),
            ..GateStatus::default()
        });
    }
    full.problems = vec!["a line that says what is wrong".into(); 3];
    let snapshot = TrafficSnapshot {
        packets_per_second: 1_000_000,
        bits_per_second: 10_000_000_000,
        dropped_per_second: 100_000,
        connections: 10_000,
        handshake_p50: Some("1.25ms".into()),
        handshake_p99: Some("100.25ms".into()),
        rtt_p50: Some("1.25ms".into()),
        rtt_p95: Some("10.25ms".into()),
        rtt_p99: Some("100.25ms".into()),
        sampled_at: Time(at(0)),
    };
    let traffic = full.transports.iter();
    let traffic = traffic.map(|one| (format!("lab/{}", one.name), snapshot.clone()));
    let traffic: Traffic = traffic.collect();
    let found = super::status(&full, &traffic, &Hardwares::new(), None, at(0));
    let size = serde_json::to_vec(&found).unwrap().len();
    assert!(size < LIMIT, "{size} bytes");
    assert_eq!((found.transports.len(), found.gates.len()), (10, 26));
    assert!(found.transports[0].traffic.is_some());
}

#[test]
fn texts_are_cut_at_whole_characters() {
    assert_eq!(shortened("größer", 4), "grö…");
    assert_eq!(shortened("größer", 6), "größer");
}

#[test]
fn an_event_is_due_when_a_rung_is_another_one() {
    let told = |mode: &str, message: &str| {
        let mut status = node(vec![transport("edge", mode, 1)]);
        status.transports[0].message = message.into();
        status.interfaces[0] = uplink(mode, 40);
        said(&status, None, 0)
    };
    let native = told("Native", "");
    for (case, before, after, expected) in [
        ("a restart", &native, &told("Native", ""), &[][..]),
        (
            "other words",
            &native,
            &told("Native", "by other words"),
            &[],
        ),
        ("it comes new", &said(&node(vec![]), None, 0), &native, &[]),
        (
            "down",
            &native,
            &told("Tcx", "eth0: ERANGE"),
            &[
                "true uplink eth0: Native -> Tcx",
                "true transport lab/edge: Native -> Tcx: eth0: ERANGE",
            ],
        ),
        (
            "up",
            &told("Tcx", ""),
            &native,
            &[
                "false uplink eth0: Tcx -> Native",
                "false transport lab/edge: Tcx -> Native",
            ],
        ),
    ] {
        let found = changes(before, after).into_iter();
        let found: Vec<_> = found
            .map(|one| format!("{} {}", one.lower, one.note))
            .collect();
        assert_eq!(found, expected, "{case}");
    }
}
