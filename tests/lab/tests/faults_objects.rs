//! Objects that cannot be in force: told with file, object and field; all others stay in force.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use agent::{Agent, SOON, put, remove};
use guarded::{assert_guarded, attached, transport};
use serde_json::{Value, json};
use stoq_lab::{LabOptions, Pod, pod_yaml, turn, wait_for};

#[test]
fn a_broken_object_keeps_its_last_good_state() {
    let Some(_turn) = turn("a_broken_object_keeps_its_last_good_state") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    let edge = "StoqTransport lab/edge";
    let cases = [
        ("spec: [".to_owned(), vec!["edge.yaml", "last good state"]),
        (
            transport("edge", &json!({"filters": {}})),
            vec!["edge.yaml", edge, "spec.filters", "is not a field"],
        ),
        (
            transport("edge", &json!({"filter": {"deny": ["300.0.0.0/8"]}})),
            vec![
                "edge.yaml",
                edge,
                "spec.filter.deny[0]",
                "must be an IPv4 or IPv6 CIDR",
            ],
        ),
        (
            transport("edge", &json!({"ports": [{"port": 0}]})),
            vec!["edge.yaml", edge, "spec.ports[0].port"],
        ),
    ];
    for (text, words) in cases {
        put(&lab, "edge", &text);
        agent.wait(&format!("{words:?} for {text}"), |status| {
            let mut problems = status["problems"].as_array()?.iter();
            let all = |one: &str| words.iter().all(|word| one.contains(word));
            problems
                .any(|one| one.as_str().is_some_and(all))
                .then_some(())
        });
        agent.wait_mode("Native");
        assert_guarded(&lab);
    }
    put(&lab, "edge", &transport("edge", &json!({})));
    agent.wait("no problem", |status| {
        status["problems"].as_array()?.is_empty().then_some(())
    });
}

#[test]
fn a_broken_object_keeps_what_an_earlier_agent_had_in_force() {
    let Some(_turn) = turn("a_broken_object_keeps_what_an_earlier_agent_had_in_force") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    agent.kill();
    put(
        &lab,
        "edge",
        &transport("edge", &json!({"ports": [{"port": 0}]})),
    );
    let agent = Agent::start(&lab);
    agent.wait("the problem", |status| {
        status["problems"][0]
            .as_str()?
            .contains("port")
            .then_some(())
    });
    agent.wait("the word that it is held", |status| {
        let mut problems = status["problems"].as_array()?.iter();
        let held = |one: &Value| one.as_str().unwrap().contains("held from an earlier agent");
        problems.any(held).then_some(())
    });
    assert_guarded(&lab);
}

#[test]
fn the_last_transport_goes_beside_a_broken_object() {
    let Some(_turn) = turn("the_last_transport_goes_beside_a_broken_object") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    put(&lab, "other", "spec: [");
    agent.wait("the problem", |status| {
        let problem = status["problems"][0].as_str()?;
        problem.contains("other.yaml").then_some(())
    });
    remove(&lab, "edge");
    let gone = wait_for("no hook", SOON, || attached(&lab).is_empty().then_some(()));
    assert!(gone.is_ok(), "{:?}", attached(&lab));
    assert!(!lab.bpffs().join("stoq").exists());
}

#[test]
fn of_two_transports_on_one_port_the_older_counts() {
    let Some(_turn) = turn("of_two_transports_on_one_port_the_older_counts") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let open = json!({"filter": {"mode": "Off"}});
    put(
        &lab,
        "edge",
        &aged(&transport("edge", &open), "2026-02-01T00:00:00Z"),
    );
    put(
        &lab,
        "old",
        &aged(&transport("old", &json!({})), "2026-01-01T00:00:00Z"),
    );
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    let [younger, older] = ["edge", "old"].map(|name| {
        agent.wait(name, |status| {
            let mut all = status["transports"].as_array()?.iter();
            all.find(|one| one["name"] == name).cloned()
        })
    });
    assert_eq!(older["accepted"], true, "{older:#}");
    assert_eq!(
        (&younger["accepted"], &younger["reason"]),
        (&json!(false), &json!("Conflict"))
    );
    assert!(
        younger["message"].as_str().unwrap().contains("lab/old"),
        "{younger:#}"
    );
    assert_guarded(&lab);
}

#[test]
fn a_pod_without_an_interface_is_told_and_hinders_no_other() {
    let Some(_turn) = turn("a_pod_without_an_interface_is_told_and_hinders_no_other") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let lost = pod_yaml(Pod::Routed).replace("10.244.1.10", "10.244.2.99");
    let lost = lost.replace("fd00:244:1::10", "fd00:244:2::99");
    put(&lab, "lost", &lost.replace("name: routed", "name: lost"));
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    let pod = agent.wait("the lost pod", |status| {
        let mut pods = status["transports"][0]["pods"].as_array()?.iter();
        pods.find(|one| one["name"] == "lab/lost").cloned()
    });
    assert_eq!((&pod["place"], &pod["interface"]), (&json!(""), &json!("")));
    assert!(
        pod["message"].as_str().unwrap().contains("10.244.2.99"),
        "{pod:#}"
    );
    assert_guarded(&lab);
}

fn aged(yaml: &str, created: &str) -> String {
    let mut object: Value = serde_yaml::from_str(yaml).unwrap();
    object["metadata"]["creationTimestamp"] = created.into();
    object.to_string()
}
