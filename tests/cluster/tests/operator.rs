//! The operator as a process, against a real API server; nodes and pods are objects alone.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/operators.rs"]
mod operators;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use operators::{NAMESPACE, SOON, Stage, condition, is, native, tcx};
use serde_json::json;
use stoq_cluster::may_run;
use stoq_lab::process::Signal;
use stoq_lab::wait_for;

#[tokio::test]
async fn the_younger_of_two_is_out_until_the_older_is_gone() {
    if !may_run("the_younger_of_two_is_out_until_the_older_is_gone") {
        return;
    }
    let stage = Stage::set().await;
    let operator = stage.operator("a", &[]);
    stage.pod("edge-0", "edge", "n1", "10.0.0.1").await;
    stage.transport("zz-old", "edge", 4433).await;
    stage
        .until("zz-old", "accepted", |one| {
            is(one, "Accepted", "True Accepted")
        })
        .await;
    // Ages are whole seconds; equals are ordered by name.
    let second = || Timestamp::now().as_second();
    let began = second();
    wait_for("the next second", SOON, || (second() > began).then_some(())).unwrap();
    stage.transport("young", "edge", 4433).await;
    let out = stage
        .until("young", "out", |one| is(one, "Accepted", "False Conflict"))
        .await;
    let message = condition(&out, "Accepted").1.unwrap().message;
    assert_eq!(
        message,
        "port 4433 of pod default/edge-0 belongs to default/zz-old, which is older"
    );
    assert!(is(&out, "Ready", "False Conflict"));

    stage
        .transports()
        .delete("zz-old", &DeleteParams::default())
        .await
        .unwrap();
    stage
        .until("young", "accepted", |one| {
            is(one, "Accepted", "True Accepted")
        })
        .await;
    until_told(&stage, "young", &["Conflict", "Accepted"]).await;
    assert!(operator.page("/readyz").starts_with("HTTP/1.0 200"));
}

/// Waits for events with these reasons about a transport.
async fn until_told(stage: &Stage, name: &str, reasons: &[&str]) {
    let events = Api::<Event>::namespaced(stage.client.clone(), NAMESPACE);
    let deadline = Instant::now() + SOON;
    loop {
        let all = events.list(&ListParams::default()).await.unwrap();
        let about = |one: &&Event| {
            one.regarding
                .as_ref()
                .is_some_and(|of| of.name.as_deref() == Some(name))
        };
        let told: Vec<_> = all
            .iter()
            .filter(about)
            .filter_map(|one| one.reason.clone())
            .collect();
        if reasons
            .iter()
            .all(|reason| told.iter().any(|one| one == reason))
        {
            return;
        }
        assert!(Instant::now() < deadline, "{name}: {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nodes_are_summed_up_and_times_move_only_on_change() {
    if !may_run("nodes_are_summed_up_and_times_move_only_on_change") {
        return;
    }
    let stage = Stage::set().await;
    let operator = stage.operator("a", &[]);
    for (n, node) in ["n1", "n2"].into_iter().enumerate() {
        stage.node(node, &format!("192.0.2.{}", n + 1)).await;
        stage
            .pod(
                &format!("edge-{n}"),
                "edge",
                node,
                &format!("10.0.0.{}", n + 1),
            )
            .await;
    }
    stage.transport("edge", "edge", 4433).await;
    stage
        .until("edge", "unknown", |one| is(one, "Ready", "Unknown Silent"))
        .await;
    stage.report("n1", &[native("edge", 100)]).await;
    stage.report("n2", &[tcx("edge")]).await;
    let sum = stage
        .until("edge", "ready", |one| is(one, "Ready", "True Ready"))
        .await;
    let nodes = sum.nodes.clone().unwrap();
    assert_eq!(
        (nodes.desired, nodes.ready, nodes.native, nodes.tcx),
        (2, 2, 1, 1)
    );
    let summary = sum.summary.clone().unwrap();
    assert_eq!(
        (summary.nodes.as_str(), summary.mode.as_str()),
        ("2/2", "Tcx")
    );
    let (words, degraded) = condition(&sum, "Degraded");
    assert_eq!(words, "True MtuTooLarge");
    let message = degraded.unwrap().message;
    assert!(
        message.contains("n2: MtuTooLarge: eth0: ERANGE: Peer MTU"),
        "{message}"
    );
    assert_eq!((sum.failures.len(), sum.pods), (1, Some(2)));
    let traffic = stage
        .until("edge", "105 packets", |one| packets(one) == Some(105))
        .await
        .traffic;
    assert_eq!(traffic.unwrap().rtt_p50.as_deref(), Some("1.25ms"));

    stage.report("n1", &[native("edge", 200)]).await;
    let later = stage
        .until("edge", "205 packets", |one| packets(one) == Some(205))
        .await;
    assert_eq!(later.conditions, sum.conditions);
    front_ends_follow(&stage).await;
    nodes_are_labelled_and_addressed(&stage).await;
    let maps = Api::<ConfigMap>::namespaced(stage.client.clone(), "stoq-system");
    let params = DeleteParams::default();
    maps.delete("stoq-node-addresses", &params).await.unwrap();
    nodes_are_labelled_and_addressed(&stage).await;
    nothing_is_written_for_nothing(&operator).await;
}

fn packets(status: &stoq_crds::api::StoqTransportStatus) -> Option<i64> {
    Some(status.traffic.as_ref()?.packets_per_second)
}

async fn front_ends_follow(stage: &Stage) {
    let objects = "
{apiVersion: v1, kind: Service, metadata: {name: edge}, spec: {type: NodePort, externalIPs: [198.51.100.7],
  ports: [{name: quic, protocol: UDP, port: 443, targetPort: 4433, nodePort: 30443}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
  metadata: {name: edge-1, labels: {kubernetes.io/service-name: edge}},
  ports: [{name: quic, protocol: UDP, port: 4433}],
  endpoints: [{addresses: [10.0.0.1], nodeName: n1, targetRef: {kind: Pod, name: edge-0, namespace: default}}]}
";
    stage.control_plane.apply(objects).unwrap();
    let found = stage
        .until("edge", "behind front ends", |one| one.front_ends.len() == 2)
        .await;
    let found = serde_json::to_value(&found.front_ends).unwrap();
    let port =
        json!({"type": "NodePort", "port": 30443, "targetPort": 4433, "trafficPolicy": "Cluster"});
    assert_eq!(found[0], port);
    assert_eq!(
        (&found[1]["ip"], &found[1]["port"]),
        (&json!("198.51.100.7"), &json!(443))
    );
    stage
        .control_plane
        .kubectl(&["delete", "service", "edge"])
        .unwrap();
    stage
        .until("edge", "without front ends", |one| {
            one.front_ends.is_empty()
        })
        .await;
}

async fn nodes_are_labelled_and_addressed(stage: &Stage) {
    let nodes = Api::<Node>::all(stage.client.clone());
    let maps = Api::<ConfigMap>::namespaced(stage.client.clone(), "stoq-system");
    let deadline = Instant::now() + SOON;
    loop {
        let labels = nodes
            .get("n2")
            .await
            .unwrap()
            .metadata
            .labels
            .unwrap_or_default();
        let label = |key: &str| labels.get(key).map(String::as_str);
        let labels = [
            label("stoq.io/xdp"),
            label("stoq.io/tcx"),
            label("stoq.io/af-xdp"),
        ];
        let map = maps.get_opt("stoq-node-addresses").await.unwrap();
        let text = map.and_then(|map| map.data?.remove("addresses"));
        let wanted = [Some("native"), Some("true"), Some("false")];
        if labels == wanted && text.as_deref() == Some("192.0.2.1\n192.0.2.2\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{labels:?} {text:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Longer than any status waits, so that what is written over and over is seen.
const QUIET: Duration = Duration::from_secs(12);

async fn nothing_is_written_for_nothing(operator: &operators::Operator) {
    let kinds = ["status", "labels", "addresses", "event"];
    let writes = || kinds.map(|kind| operator.writes(kind));
    // What was still under way.
    tokio::time::sleep(QUIET).await;
    let before = writes();
    tokio::time::sleep(QUIET).await;
    assert_eq!(before, writes(), "{kinds:?}");
}

#[tokio::test]
async fn a_leader_hands_over_and_a_dead_one_is_followed_within_its_lease() {
    if !may_run("a_leader_hands_over_and_a_dead_one_is_followed_within_its_lease") {
        return;
    }
    let stage = Stage::set().await;
    let lease = ["--lease-duration", "6s"];
    let first = stage.operator("first", &lease);
    until_leads(&stage, "first_").await;
    let second = stage.operator("second", &lease);
    assert!(second.page("/healthz").starts_with("HTTP/1.0 200"));
    let began = Instant::now();
    first.process.signal(Signal::TERM).unwrap();
    until_leads(&stage, "second_").await;
    let handed_over = began.elapsed();
    assert!(first.process.wait(SOON).unwrap().success());

    let _third = stage.operator("third", &lease);
    stage.transport("edge", "edge", 4433).await;
    stage
        .until("edge", "accepted", |one| {
            is(one, "Accepted", "True Accepted")
        })
        .await;
    let began = Instant::now();
    second.process.signal(Signal::KILL).unwrap();
    until_leads(&stage, "third_").await;
    let followed = began.elapsed();
    stage.transport("web", "web", 4434).await;
    stage
        .until("web", "accepted", |one| {
            is(one, "Accepted", "True Accepted")
        })
        .await;
    println!(
        "lease 6 s: handed over after {handed_over:.1?}, a dead leader followed after {followed:.1?}"
    );
    assert!(handed_over < Duration::from_secs(5), "{handed_over:?}");
    assert!(followed < Duration::from_secs(12), "{followed:?}");
}

async fn until_leads(stage: &Stage, name: &str) {
    let leases = Api::<Lease>::namespaced(stage.client.clone(), "stoq-system");
    let deadline = Instant::now() + SOON;
    loop {
        let lease = leases.get_opt("stoq-operator").await.unwrap();
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        if holder
            .as_deref()
            .is_some_and(|holder| holder.starts_with(name))
        {
            return;
        }
        assert!(Instant::now() < deadline, "{holder:?} instead of {name}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_operator_killed_in_the_middle_is_taken_up_by_the_next() {
    if !may_run("an_operator_killed_in_the_middle_is_taken_up_by_the_next") {
        return;
    }
    let stage = Stage::set().await;
    let lease = ["--lease-duration", "5s"];
    let operator = stage.operator("a", &lease);
    stage.pod("edge-0", "edge", "n1", "10.0.0.1").await;
    stage.transport("edge", "edge", 4433).await;
    stage.report("n1", &[native("edge", 1)]).await;
    let before = stage
        .until("edge", "ready", |one| is(one, "Ready", "True Ready"))
        .await;
    operator.process.signal(Signal::KILL).unwrap();
    drop(operator);

    stage.transport("web", "web", 4434).await;
    stage.report("n1", &[tcx("edge")]).await;
    let _next = stage.operator("b", &lease);
    let after = stage
        .until("edge", "degraded", |one| {
            is(one, "Degraded", "True MtuTooLarge")
        })
        .await;
    stage
        .until("web", "accepted", |one| {
            is(one, "Accepted", "True Accepted")
        })
        .await;
    let since = |status, about| condition(status, about).1.unwrap().last_transition_time;
    for about in ["Accepted", "Ready"] {
        assert_eq!(since(&after, about), since(&before, about), "{about}");
    }
}

#[tokio::test]
async fn a_node_whose_agent_is_silent_is_unknown_until_it_reports() {
    if !may_run("a_node_whose_agent_is_silent_is_unknown_until_it_reports") {
        return;
    }
    let stage = Stage::set().await;
    let _operator = stage.operator("a", &["--stale-after", "6s"]);
    stage.pod("edge-0", "edge", "n1", "10.0.0.1").await;
    stage.transport("edge", "edge", 4433).await;
    stage.report("n1", &[native("edge", 1)]).await;
    stage
        .until("edge", "ready", |one| is(one, "Ready", "True Ready"))
        .await;
    let silent = stage
        .until("edge", "unknown", |one| is(one, "Ready", "Unknown Silent"))
        .await;
    let message = condition(&silent, "Ready").1.unwrap().message;
    assert!(
        message.contains("n1: Silent: the agent of this node no longer reports"),
        "{message}"
    );
    assert_eq!(silent.summary.unwrap().nodes, "0/1");
    stage.report("n1", &[native("edge", 1)]).await;
    stage
        .until("edge", "ready", |one| is(one, "Ready", "True Ready"))
        .await;
}
