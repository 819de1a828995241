//! The agent follows an API server, tells it what it does, and needs it for nothing that is in force.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "../../lab/tests/support/agent.rs"]
mod agent;
#[path = "../../lab/tests/support/guarded.rs"]
mod guarded;
#[path = "agent/scene.rs"]
mod scene;

use std::time::Instant;

use guarded::{Peer, Streams, assert_guarded, attached, transport};
use scene::{SOON, Scene};
use serde_json::{Value, json};
use stoq_cluster::may_run;
use stoq_lab::{Pod, wait_for};

fn mode(node: &Value) -> Option<&str> {
    node["status"]["transports"][0]["mode"].as_str()
}

fn has_no_transport(node: &Value) -> Option<bool> {
    Some(node["status"]["summary"]["transports"] == "0/0")
}

#[test]
fn what_the_cluster_asks_for_is_in_force_and_told() {
    if !may_run("what_the_cluster_asks_for_is_in_force_and_told") {
        return;
    }
    let scene = Scene::set();
    let agent = scene.agent();
    scene.wait_node("a StoqNode with a status", has_no_transport);
    let owner = &scene.node().unwrap()["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"]),
        (&json!("Node"), &json!("node"))
    );

    let began = Instant::now();
    scene.cluster.apply(&transport("edge", &json!({}))).unwrap();
    let looked = wait_for("hooks", SOON, || {
        (attached(&scene.lab).len() > 2).then_some(())
    });
    looked.unwrap();
    eprintln!("apply to attached: {:?}, kubectl included", began.elapsed());
    scene.wait_node("mode Native", |node| Some(mode(node)? == "Native"));
    eprintln!("apply to told: {:?}", began.elapsed());
    assert_guarded(&scene.lab);

    relabelled(&scene);
    paused(&scene);
    refused(&scene);
    scene
        .cluster
        .kubectl(&["-n", "lab", "delete", "stq", "edge"])
        .unwrap();
    scene.assert_nothing_left();
    scene.wait_node("no transport", has_no_transport);
    assert!(agent.stop().success());
}

fn relabelled(scene: &Scene) {
    let label = |label| {
        let pod = [
            "-n",
            "lab",
            "label",
            "--overwrite",
            "pod",
            Pod::Routed.name(),
            label,
        ];
        scene.cluster.kubectl(&pod).unwrap();
    };
    label("app=other");
    scene.wait_node("no transport", has_no_transport);
    scene.assert_nothing_left();
    label("app=edge");
    scene.wait_node("mode Native", |node| Some(mode(node)? == "Native"));
    assert_guarded(&scene.lab);
}

/// As the operator says of one that lost an endpoint of another node's pod.
fn refused(scene: &Scene) {
    scene.accept("False", "Conflict");
    scene.assert_nothing_left();
    scene.wait_node("refused", |node| {
        let told = &node["status"]["transports"][0];
        Some(told["reason"] == "Conflict" && told["message"] == "said by a test")
    });
    scene.accept("True", "Accepted");
    scene.wait_node("mode Native", |node| Some(mode(node)? == "Native"));
    assert_guarded(&scene.lab);
}

fn paused(scene: &Scene) {
    scene.pause(true);
    scene.assert_nothing_left();
    scene.wait_node("paused", |node| {
        let condition = &node["status"]["conditions"][0];
        let reason = &node["status"]["transports"][0]["reason"];
        Some(reason == "Paused" && condition["status"] == "False" && mode(node)? == "None")
    });
    let node = scene.node().unwrap();
    assert_eq!(
        node["status"]["observedGeneration"],
        node["metadata"]["generation"]
    );
    scene.pause(false);
    scene.wait_node("mode Native", |node| Some(mode(node)? == "Native"));
    assert_guarded(&scene.lab);
}

#[test]
fn no_packet_is_lost_or_unfiltered_while_the_api_server_is_down() {
    if !may_run("no_packet_is_lost_or_unfiltered_while_the_api_server_is_down") {
        return;
    }
    let scene = Scene::set();
    scene.cluster.apply(&transport("edge", &json!({}))).unwrap();
    let agent = scene.agent();
    scene.wait_node("mode Native", |node| Some(mode(node)? == "Native"));
    let since = |node: &Value| node["status"]["transports"][0]["since"].clone();
    let before = since(&scene.node().unwrap());

    let streams = Streams::start(&scene.lab, Peer::ROUTED, 2000, 15.0);
    scene.cluster.stop_api_server();
    agent.kill();
    let agent = scene.agent();
    let ready = || agent.page("/readyz").ok();
    let ready = wait_for("a plan without an API server", SOON, ready);
    assert_eq!(
        ready.unwrap_or_else(|error| panic!("{error}\n{}", agent.log())),
        "ok\n"
    );
    streams.assert_whole_and_filtered();

    scene.cluster.start_api_server().unwrap();
    let put = transport("edge", &json!({"filter": {"mode": "Monitor"}}));
    scene.cluster.apply(&put).unwrap();
    scene.wait_node("the new spec", |node| {
        Some(node["status"]["transports"][0]["generation"] == 2)
    });
    assert_eq!(
        since(&scene.node().unwrap()),
        before,
        "nothing has changed for the node"
    );
}
