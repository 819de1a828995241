//! What a node's packet filter says holds for flows between pods of two nodes that go past it by AF_XDP.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/scene.rs"]
mod scene;

use std::time::{Duration, Instant};

use scene::{NUMBER, SOON, cluster, get, plain, transport};
use serde_json::{Value, json};
use stoq_cluster::{Cluster, Node, images, turn};
use stoq_ebpf::relay::Relay;
use stoq_lab::{tool, wait_for};

const READMIT_AFTER: Duration = Duration::from_millis(500);
/// For a machine that is not ours alone.
const SLACK: Duration = Duration::from_millis(200);
/// After the filter: much longer than a flow may go past it.
const WATCHED: Duration = Duration::from_secs(3);
/// So many packets are a flow that goes by AF_XDP.
const STEERED: u64 = 2_000;

#[test]
fn a_packet_filter_on_a_node_holds_within_readmit_after_for_a_pod_that_receives_by_af_xdp() {
    let name =
        "a_packet_filter_on_a_node_holds_within_readmit_after_for_a_pod_that_receives_by_af_xdp";
    let Some(_turn) = turn(name) else {
        return;
    };
    let cluster = cluster(plain(2));
    let node = cluster.node("node-a").unwrap();
    let spec =
        json!({"acceleration": {"readmitAfter": format!("{}ms", READMIT_AFTER.as_millis())}});
    cluster.apply(&transport("sink", NUMBER, &spec)).unwrap();
    cluster.apply(&sink()).unwrap();
    let ready = ["wait", "pod/sink", "--for=condition=Ready", "--timeout=90s"];
    cluster.kubectl(&ready).unwrap();
    let ip = get(&cluster, "pod", "sink")["status"]["podIP"].clone();
    cluster.apply(&source(ip.as_str().unwrap())).unwrap();
    carries_more(&cluster, node, 0);

    let rule = format!("udp dport {NUMBER} counter drop");
    let table =
        format!("table inet t {{ chain c {{ type filter hook forward priority 0; {rule}; }}; }}");
    tool::run(node.netns().command("nft").arg(table)).unwrap();
    let ruled = Instant::now();
    let (mut last, mut relayed_before, mut before) = (ruled, relayed(node), ruled);
    while ruled.elapsed() < WATCHED {
        let (at, now) = (Instant::now(), relayed(node));
        if now != relayed_before {
            // Some came no earlier than that.
            (last, relayed_before) = (before, now);
        }
        before = at;
    }
    let held = last.duration_since(ruled);
    println!("packets went past the filter for {held:.0?}");
    assert!(held < READMIT_AFTER + SLACK, "{held:?}");

    let delete = ["delete", "table", "inet", "t"];
    tool::run(node.netns().command("nft").args(delete)).unwrap();
    carries_more(&cluster, node, relayed_before);
}

/// Waits until many more packets than these have come out of the node's one relay.
fn carries_more(cluster: &Cluster, node: &Node, packets: u64) {
    let carries = || (relayed(node) > packets + STEERED).then_some(());
    wait_for("packets by the relay", SOON, carries)
        .unwrap_or_else(|error| panic!("{error}\n{}", scene::story(cluster, "sink")));
}

fn relayed(node: &Node) -> u64 {
    let look = || {
        let relays = Relay::list()?;
        relays
            .first()
            .map_or(Ok(0), |relay| Ok(relay.traffic()?.packets))
    };
    let looked: anyhow::Result<u64> = node.netns().run(look).unwrap();
    looked.unwrap()
}

/// A pod without privileges that asks for a socket, and answers.
fn sink() -> String {
    let command = format!(
        "exec lab number-recv --answer --listen $POD_IP:{NUMBER} --af-xdp /run/stoq/afxdp.sock"
    );
    pod(
        "sink",
        "node-a",
        &json!({
            "name": "sink", "image": images::BOX, "command": ["sh", "-c", command],
            "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "resources": {"limits": {"stoq.io/afxdp": 1}},
        }),
    )
}

/// A pod that sends to it for as long as the test takes.
fn source(ip: &str) -> String {
    let target = format!("--target={ip}:{NUMBER}");
    let command = [
        "lab",
        "number-send",
        &target,
        "--rate=2000",
        "--seconds=600",
    ];
    pod(
        "source",
        "node-b",
        &json!({
            "name": "source", "image": images::BOX, "command": command,
        }),
    )
}

fn pod(name: &str, node: &str, container: &Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "restartPolicy": "Never", "dnsPolicy": "Default", "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": 65534, "runAsNonRoot": true},
            "containers": [container],
        },
    })
    .to_string()
}
