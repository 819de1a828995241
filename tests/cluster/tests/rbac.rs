//! What deploy/ lets the agent and the operator do, asked of the real API server.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Value, json};
use stoq_cluster::caller::Answer;
use stoq_cluster::{Caller, ControlPlane, may_run};
use stoq_lab::wait_for;

const SOON: Duration = Duration::from_secs(60);
const STOQNODES: &str = "/apis/stoq.io/v1alpha1/stoqnodes";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const DRY: &str = "fieldManager=test&dryRun=All";

/// Two nodes, an agent's pod on each and one of the operator; all of them objects alone.
const ACTORS: &str = "
{apiVersion: v1, kind: Node, metadata: {name: node-a, labels: {tier: edge}}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-b}}
---
apiVersion: v1
kind: Pod
metadata: {name: agent-a, namespace: stoq-system}
spec: {serviceAccountName: stoq-agent, nodeName: node-a, containers: [{name: a, image: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: operator-b, namespace: stoq-system}
spec: {serviceAccountName: stoq-operator, nodeName: node-b, containers: [{name: a, image: a}]}
---
{apiVersion: stoq.io/v1alpha1, kind: StoqNode, metadata: {name: node-b}, spec: {}}
";

#[test]
fn an_agent_writes_the_stoqnode_of_its_own_node_and_no_other() {
    if !may_run("an_agent_writes_the_stoqnode_of_its_own_node_and_no_other") {
        return;
    }
    let control_plane = installed();
    let agent = bound(&control_plane, "stoq-agent", "agent-a");
    until_refused("may not write StoqNode node-b", || {
        apply_node(&agent, "node-b", json!({}))
    });

    apply_node(&agent, "node-a", json!({"paused": true})).expect_err("it may not pause");
    let made = agent.apply(&own("node-a"), &node("node-a", json!({})));
    assert_eq!(made.unwrap()["spec"]["paused"], false);
    let status = json!({"status": {"kernel": "6.18"}});
    let write = |name: &str| agent.merge(&format!("{STOQNODES}/{name}/status"), &status);
    assert_eq!(write("node-a").unwrap()["status"]["kernel"], "6.18");
    refused(&write("node-b"), "may not write StoqNode node-b");

    let pause = json!({"spec": {"paused": true}});
    let path = format!("{STOQNODES}/node-a");
    refused(&agent.merge(&path, &pause), "may not change the spec");
    let admin = Caller::admin(&control_plane).unwrap();
    admin.merge(&path, &pause).unwrap();
    write("node-a").unwrap();
    let unpause = json!({"spec": {"paused": false}});
    refused(&agent.merge(&path, &unpause), "may not change the spec");
    refused(&agent.delete(&path), "cannot delete resource");
}

#[test]
fn an_agents_token_without_a_pod_writes_nothing() {
    if !may_run("an_agents_token_without_a_pod_writes_nothing") {
        return;
    }
    let control_plane = installed();
    let token = ["-n", "stoq-system", "create", "token", "stoq-agent"];
    let token = control_plane.kubectl(&token).unwrap();
    let stolen = Caller::with_token(&control_plane, &token).unwrap();
    until_refused("must be bound to a pod that runs on a node", || {
        apply_node(&stolen, "node-a", json!({}))
    });
    refused(&stolen.create(EVENTS, &event("node-a")), "may only tell");
}

#[test]
fn an_agent_tells_events_of_its_own_node_only() {
    if !may_run("an_agent_tells_events_of_its_own_node_only") {
        return;
    }
    let control_plane = installed();
    let agent = bound(&control_plane, "stoq-agent", "agent-a");
    let tell = |name: &str| agent.create(EVENTS, &event(name));
    until_refused("may only tell of that node", || tell("node-b"));
    tell("node-a").unwrap();
    let again = format!("{EVENTS}/node-a.1");
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}});
    agent.merge(&again, &series).unwrap();
    let elsewhere = EVENTS.replace("default", "kube-system");
    refused(&agent.create(&elsewhere, &event("node-a")), "cannot create");
}

#[test]
fn the_operator_labels_nodes_with_its_own_labels_and_does_nothing_else_to_them() {
    if !may_run("the_operator_labels_nodes_with_its_own_labels_and_does_nothing_else_to_them") {
        return;
    }
    let control_plane = installed();
    let operator = bound(&control_plane, "stoq-operator", "operator-b");
    let patch = |change: Value| operator.merge("/api/v1/nodes/node-a", &change);
    let label = |name: &str, value: Value| patch(json!({"metadata": {"labels": {name: value}}}));
    let others = "labels of nodes that begin with stoq.io/";
    until_refused(others, || {
        let zone = json!({"metadata": {"labels": {"zone": "z"}}});
        operator.merge(&format!("/api/v1/nodes/node-a?{DRY}"), &zone)
    });

    label("stoq.io/xdp", json!("Native")).unwrap();
    label("stoq.io/xdp", json!("Generic")).unwrap();
    label("stoq.io/xdp", Value::Null).unwrap();
    let applied =
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-a, labels: {stoq.io/tcx: 'true'}}";
    let path = "/api/v1/nodes/node-a?fieldManager=stoq-operator&force=true";
    operator.apply(path, applied).unwrap();

    refused(&label("tier", json!("x")), others);
    refused(&label("tier", Value::Null), others);
    refused(&label("stoq.iox", json!("x")), others);
    let label_only = "may only label nodes";
    for change in [
        json!({"spec": {"unschedulable": true}}),
        json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}),
        json!({"metadata": {"annotations": {"stoq.io/a": "b"}}}),
        json!({"metadata": {"finalizers": ["stoq.io/a"]}}),
    ] {
        refused(&patch(change), label_only);
    }
}

#[test]
fn neither_may_do_what_no_rule_grants() {
    if !may_run("neither_may_do_what_no_rule_grants") {
        return;
    }
    let control_plane = installed();
    let agent = bound(&control_plane, "stoq-agent", "agent-a");
    let operator = bound(&control_plane, "stoq-operator", "operator-b");
    let pods = "/api/v1/namespaces/stoq-system/pods";
    let exec = format!("{pods}/agent-a/exec?command=true&stdout=true");
    for (who, caller) in [("agent", &agent), ("operator", &operator)] {
        for (path, words) in [
            ("/api/v1/secrets", "cannot list resource \"secrets\""),
            (
                "/api/v1/namespaces/stoq-system/secrets/x",
                "cannot get resource \"secrets\"",
            ),
            ("/api/v1/configmaps", "cannot list resource \"configmaps\""),
            (
                "/apis/apps/v1/daemonsets",
                "cannot list resource \"daemonsets\"",
            ),
            (exec.as_str(), "cannot get resource \"pods/exec\""),
        ] {
            assert_refused(&caller.get(path), words, who);
        }
        let made = caller.create(&exec, &Value::Null);
        assert_refused(&made, "cannot create resource \"pods/exec\"", who);
        let path = format!("{pods}/agent-a");
        assert_refused(&caller.delete(&path), "cannot delete resource", who);
        let transport = "/apis/stoq.io/v1alpha1/namespaces/default/stoqtransports/x";
        let spec = caller.merge(transport, &json!({"spec": {}}));
        assert_refused(&spec, "cannot patch resource \"stoqtransports\"", who);
    }
    refused(
        &agent.get("/api/v1/nodes"),
        "cannot list resource \"nodes\"",
    );
    let label = json!({"metadata": {"labels": {"stoq.io/xdp": "Native"}}});
    let label = agent.merge("/api/v1/nodes/node-a", &label);
    refused(&label, "cannot patch resource \"nodes\"");
    let status = operator.merge("/api/v1/nodes/node-a/status", &json!({}));
    refused(&status, "cannot patch resource \"nodes/status\"");
    let node = operator.merge(&format!("{STOQNODES}/node-b/status"), &json!({}));
    refused(&node, "cannot patch resource \"stoqnodes/status\"");
}

#[test]
fn a_used_right_is_in_the_audit_log() {
    if !may_run("a_used_right_is_in_the_audit_log") {
        return;
    }
    let control_plane = ControlPlane::start_audited().unwrap();
    prepare(&control_plane);
    let agent = bound(&control_plane, "stoq-agent", "agent-a");
    agent
        .apply(&own("node-a"), &node("node-a", json!({})))
        .unwrap();
    agent.get("/api/v1/pods").unwrap();
    agent.get("/api/v1/nodes").unwrap_err();
    let uses = control_plane.uses().unwrap();
    let told: Vec<_> = uses
        .iter()
        .map(|used| format!("{} {} {}", used.verb, used.resource, used.name))
        .collect();
    assert_eq!(
        told,
        [
            "create stoqnodes node-a",
            "list pods ",
            "patch stoqnodes node-a"
        ]
    );
}

#[test]
fn the_api_server_takes_every_sample() {
    if !may_run("the_api_server_takes_every_sample") {
        return;
    }
    let control_plane = installed();
    let samples = stoq_cluster::stoq::manifests().join("samples");
    let samples = samples.display().to_string();
    let strict = ["--server-side", "--validate=strict", "--filename", &samples];
    let said = control_plane.kubectl(&[&["apply"][..], &strict].concat());
    assert_eq!(said.unwrap().lines().count(), 8);
}

fn installed() -> ControlPlane {
    let control_plane = ControlPlane::start().unwrap();
    prepare(&control_plane);
    control_plane
}

fn prepare(control_plane: &ControlPlane) {
    control_plane.apply_stoq().unwrap();
    control_plane.apply(ACTORS).unwrap();
}

/// Who has the token of a service account that is bound to a pod, as the kubelet gives it.
fn bound(control_plane: &ControlPlane, account: &str, pod: &str) -> Caller {
    let token = ["-n", "stoq-system", "create", "token", account];
    let to_pod = ["--bound-object-kind=Pod", "--bound-object-name", pod];
    let token = control_plane.kubectl(&[&token[..], &to_pod].concat());
    Caller::with_token(control_plane, &token.unwrap()).unwrap()
}

fn own(name: &str) -> String {
    format!("{STOQNODES}/{name}?fieldManager=stoq-agent&force=true")
}

fn node(name: &str, spec: Value) -> String {
    json!({
        "apiVersion": "stoq.io/v1alpha1", "kind": "StoqNode",
        "metadata": {"name": name}, "spec": spec,
    })
    .to_string()
}

fn apply_node(caller: &Caller, name: &str, spec: Value) -> Answer {
    caller.apply(
        &format!("{STOQNODES}/{name}?force=true&{DRY}"),
        &node(name, spec),
    )
}

fn event(node: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": format!("{node}.1")},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal", "reason": "Native", "action": "Attach",
        "reportingController": "stoq.io/agent", "reportingInstance": "agent-a",
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node},
    })
}

/// A policy holds some moments after it was applied.
fn until_refused(words: &str, ask: impl Fn() -> Answer) {
    let told = RefCell::new(None);
    let held = wait_for(words, SOON, || {
        let answer = told.replace(Some(ask()));
        let refused = answer?.is_err_and(|told| told.contains(words));
        refused.then_some(())
    });
    held.unwrap_or_else(|error| panic!("{error}: {:?}", told.take()));
}

fn refused(answer: &Answer, words: &str) {
    assert_refused(answer, words, "it");
}

fn assert_refused(answer: &Answer, words: &str, who: &str) {
    match answer {
        Err(told) => assert!(told.contains(words), "{who}: {words}: {told}"),
        Ok(object) => panic!("{who}: {words}: was taken: {object}"),
    }
}
