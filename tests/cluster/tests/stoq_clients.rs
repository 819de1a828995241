//! What comes from outside, a flood, and pods and nodes that move.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/probe.rs"]
mod probe;
#[path = "support/scene.rs"]
mod scene;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crowd::{Loud, crowd, loud};
use probe::{Answers, until};
use scene::{ECHO, SOON, cluster, count, get, is, plain, transport, wait_transport};
use serde_json::{Value, json};
use stoq_cluster::topology::UPLINK;
use stoq_cluster::{Cluster, Node, images, turn};
use stoq_lab::quic::LoadReport;
use stoq_lab::{Process, tool, wait_for};

const QUIC: u16 = 4433;
const LOCAL: u16 = 30_433;
const ANYWHERE: u16 = 30_434;
/// Connections that are there before a flood.
const CLIENTS: u64 = 10;
/// A flood of some seconds from which less is dropped was not guarded against.
const FLOODED: u64 = 20_000;
/// What guards have dropped.
const DROPPED: &str = "stoq_dropped_packets_total";
/// The NodePort of the echo on node-a.
const SOLO: u16 = 30_901;
/// Packets a second that the echo's transport lets each source send.
const LIMIT: u32 = 200;
/// Clients that stay below it.
const CROWD: u32 = 10_000;

#[test]
fn connections_keep_their_goodput_while_pod_and_node_ports_are_flooded() {
    let Some(_turn) = turn("connections_keep_their_goodput_while_pod_and_node_ports_are_flooded")
    else {
        return;
    };
    let cluster = cluster(plain(2));
    let pod = quic(&cluster);
    let (a, b) = (
        cluster.node("node-a").unwrap(),
        cluster.node("node-b").unwrap(),
    );
    let at = |node: &Node, port| SocketAddr::from((node.address(), port));
    let pod = SocketAddr::from((pod, QUIC));
    // Where the connections go, where the flood does, and whether the node there guards that.
    for (way, target, node, flooded, guarded) in [
        ("the pod's own address", pod, a, pod, true),
        ("Local", at(a, LOCAL), a, at(a, LOCAL), true),
        (
            "Local, a node without the pod",
            at(a, LOCAL),
            b,
            at(b, LOCAL),
            false,
        ),
        (
            "Cluster, a node with the pod",
            at(a, ANYWHERE),
            a,
            at(a, ANYWHERE),
            true,
        ),
        (
            "Cluster, a node without it",
            at(b, ANYWHERE),
            b,
            at(b, ANYWHERE),
            true,
        ),
    ] {
        let established = || count(a, "stoq_quic_connections_total", &["event=\"established\""]);
        let dropped = || count(node, DROPPED, &["hook=\"uplink\""]);
        let (before, dropped_before) = (established(), dropped());
        let load = load(&cluster, target);
        // Strangers find no room in a flood: connections are there before it.
        let there = || (established() >= before + CLIENTS).then_some(());
        wait_for("connections", SOON, there).unwrap();
        let flood = flood(&cluster, node, flooded);
        let report: LoadReport = load.report(SOON).unwrap();
        drop(flood);
        let dropped = dropped() - dropped_before;
        println!(
            "{way}: {} answered, {} failed, {:.1} Mbit/s; {dropped} dropped at the uplink",
            report.ok,
            report.failed,
            report.goodput_bps / 1e6
        );
        let kept = report.ok as f64 / (report.ok + report.failed) as f64;
        assert!(
            kept >= 0.99,
            "{way}: {kept:.3}\n{}",
            scene::story(&cluster, "quic")
        );
        // Else the pod's own hook has kept it.
        assert_eq!(dropped > FLOODED, guarded, "{way}: {dropped}");
    }
    let dropped = wait_transport(&cluster, "quic", "drops in the status", |status| {
        let dropped = status["traffic"]["droppedPerSecond"].as_i64()?;
        (dropped > 0).then_some(dropped)
    });
    println!("droppedPerSecond {dropped}");
}

/// A QUIC server on node-a, guarded; its address.
fn quic(cluster: &Cluster) -> Ipv4Addr {
    let directory = cluster.control_plane.directory().join("identity");
    std::fs::create_dir(&directory).unwrap();
    tool::run(
        Command::new(images::built("lab").unwrap())
            .arg("identity")
            .arg(&directory),
    )
    .unwrap();
    let files = ["cert.pem", "key.pem"]
        .map(|file| format!("--from-file={}", directory.join(file).display()));
    let secret = ["create", "secret", "generic", "identity"];
    cluster
        .kubectl(&[&secret[..], &[&files[0], &files[1]]].concat())
        .unwrap();
    cluster.apply(include_str!("quic.yaml")).unwrap();
    let limits = json!({"unestablished": {"packetsPerSecond": 1000, "initialsPerSecond": 200}});
    let spec = json!({
        "ports": [{"port": QUIC}], "filter": {"mode": "Enforce", "deny": ["203.0.113.0/24"], "limits": limits},
    });
    cluster.apply(&transport("quic", QUIC, &spec)).unwrap();
    wait_transport(cluster, "quic", "both front ends in force", |status| {
        let front_ends = status["frontEnds"].as_array()?.len() == 2;
        // The front end of policy Cluster concerns the node without the pod too.
        let everywhere = status["summary"]["nodes"] == "2/2";
        (front_ends && everywhere && is(status, "Ready", "True")).then_some(())
    });
    cluster
        .kubectl(&["wait", "pod/quic", "--for=condition=Ready", "--timeout=90s"])
        .unwrap();
    let ip = get(cluster, "pod", "quic")["status"]["podIP"].clone();
    ip.as_str().unwrap().parse().unwrap()
}

/// Twenty thousand packets a second, until it is told to end.
fn flood(cluster: &Cluster, node: &Node, target: SocketAddr) -> Process {
    let path = format!("/sys/class/net/{UPLINK}/address");
    let mac = node.exec(&["cat", &path]).unwrap();
    let mut flood = Command::new(images::built("flood").unwrap());
    flood.arg("--netns").arg(cluster.client.path());
    flood
        .args(["--interface=eth0", "--rate=20000", "--to"])
        .arg(target.to_string());
    Process::start(flood.args(["--mac", mac.trim()])).unwrap()
}

/// [`CLIENTS`] connections, for eight seconds.
fn load(cluster: &Cluster, target: SocketAddr) -> Process {
    let ca = cluster.control_plane.directory().join("identity/ca.pem");
    let mut load = cluster.client.command(images::built("lab").unwrap());
    load.args(["load", "--target"])
        .arg(target.to_string())
        .arg("--ca")
        .arg(ca);
    load.arg(format!("--clients={CLIENTS}"));
    load.args(["--rate=500", "--seconds=8", "--response=2000"]);
    Process::start(&mut load).unwrap()
}

#[test]
fn ten_thousand_clients_masqueraded_as_one_node_are_not_limited_as_one_source() {
    let name = "ten_thousand_clients_masqueraded_as_one_node_are_not_limited_as_one_source";
    let Some(_turn) = turn(name) else {
        return;
    };
    let cluster = cluster(plain(2));
    cluster.apply(include_str!("solo.yaml")).unwrap();
    let limits = json!({"perSource": {"packetsPerSecond": LIMIT}});
    let filter = json!({"filter": {"mode": "Enforce", "limits": limits}});
    cluster.apply(&transport("solo", ECHO, &filter)).unwrap();
    let pod = pod(&cluster, None);
    wait_transport(&cluster, "solo", "the front end in force", |status| {
        let front_end = status["frontEnds"].as_array()?.len() == 1;
        let everywhere = status["summary"]["nodes"] == "2/2" && status["pods"] == 1;
        (front_end && everywhere && is(status, "Ready", "True")).then_some(())
    });
    let nodes = ["node-a", "node-b"].map(|name| cluster.node(name).unwrap());
    let through_b = (nodes[1].address(), SOLO).into();

    let crowd = crowd(&cluster, through_b, CROWD);
    let rate = f64::from(CROWD) / crowd.took.as_secs_f64();
    println!("{rate:.0} clients a second, {} asked again", crowd.again);
    assert!(rate > 5.0 * f64::from(LIMIT), "too few to be limited");
    let received = || count(nodes[0], "stoq_packets_total", &["direction=\"in\""]);
    let all = || (received() >= CROWD.into()).then_some(());
    wait_for("all of them in the counters", SOON, all).unwrap();
    assert_eq!(nodes.map(limited), [0, 0]);

    // Who comes as himself is held, by the node that he comes to.
    for (client, echo, by) in [
        ([198, 18, 0, 1], pod.echo(), 0),
        ([198, 18, 0, 2], through_b, 1),
    ] {
        let loud = loud(&cluster, client.into(), echo, Duration::from_secs(4));
        println!("{echo}: {loud:?}");
        assert_held(&loud);
        let here = || (limited(nodes[by]) >= u64::from(LIMIT)).then_some(());
        wait_for("them in the counters", SOON, here).unwrap();
    }
}

/// What the agent of a node dropped of sources that sent too much.
fn limited(node: &Node) -> u64 {
    count(node, DROPPED, &["reason=\"source_rate\""])
}

/// The limit and a burst of a second were answered, and next to nothing more.
fn assert_held(loud: &Loud) {
    let allowed = f64::from(LIMIT) * (loud.took.as_secs_f64() + 1.0);
    let share = loud.answered as f64 / allowed;
    assert!(
        (0.5..1.1).contains(&share),
        "{loud:?}, {allowed:.0} allowed"
    );
    assert!(loud.asked > 4 * loud.answered, "{loud:?}");
}

#[test]
fn pods_and_nodes_that_come_go_and_change_are_followed() {
    let Some(_turn) = turn("pods_and_nodes_that_come_go_and_change_are_followed") else {
        return;
    };
    let cluster = cluster(plain(2));
    cluster.apply(include_str!("solo.yaml")).unwrap();
    let local = r#"{"spec": {"externalTrafficPolicy": "Local"}}"#;
    cluster
        .kubectl(&["patch", "service", "solo", "--patch", local])
        .unwrap();
    cluster.apply(&transport("solo", ECHO, &json!({}))).unwrap();
    let first = pod(&cluster, None);
    let guarded = |pod: &Pod| until(&cluster, &[pod.echo()], Answers::None, || ());
    guarded(&first);

    cluster.kubectl(&["delete", "pod", &first.name]).unwrap();
    let second = pod(&cluster, Some(&first));
    println!("another pod guarded after {:.2?}", guarded(&second));

    // The Deployment makes another one in its place.
    let relabelled = until(&cluster, &[second.echo()], Answers::All, || {
        cluster
            .kubectl(&["label", "--overwrite", "pod", &second.name, "app=other"])
            .unwrap();
    });
    println!("a pod let go after {relabelled:.2?}");

    let there = r#"{"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-b"}}}}}"#;
    cluster
        .kubectl(&["patch", "deployment", "solo", "--patch", there])
        .unwrap();
    let moved = wait_for("a pod on node-b", SOON, || {
        pods(&cluster).into_iter().find(|pod| pod.node == "node-b")
    });
    guarded(&moved.unwrap());
    wait_transport(&cluster, "solo", "the other node alone", |status| {
        (status["pods"] == 1 && status["nodes"]["desired"] == 1).then_some(())
    });
    wait_for("nothing of it on node-a", SOON, || {
        let transports = get(&cluster, "stoqnode", "node-a")["status"]["transports"].clone();
        let count = transports.as_array().map_or(0, Vec::len);
        (count == 0).then_some(())
    })
    .unwrap();

    let drain = [
        "drain",
        "node-b",
        "--ignore-daemonsets",
        "--force",
        "--delete-emptydir-data",
    ];
    cluster.kubectl(&drain).unwrap();
    cluster.node("node-b").unwrap().kill();
    cluster.kubectl(&["delete", "node", "node-b"]).unwrap();
    wait_for("no StoqNode of a node that has gone", SOON, || {
        let nodes = cluster
            .kubectl(&["get", "stoqnodes", "--output=name"])
            .unwrap();
        (nodes.trim() == "stoqnode.stoq.io/node-a").then_some(())
    })
    .unwrap();
}

#[derive(Debug)]
struct Pod {
    name: String,
    node: String,
    ip: Ipv4Addr,
}

impl Pod {
    fn echo(&self) -> SocketAddr {
        (self.ip, ECHO).into()
    }
}

/// The echo's pod, once it is another than this one.
fn pod(cluster: &Cluster, other: Option<&Pod>) -> Pod {
    let is_other = |pod: &Pod| other.is_none_or(|other| other.name != pod.name);
    wait_for("a pod", SOON, || pods(cluster).into_iter().find(is_other)).unwrap()
}

/// Its pods that are ready.
fn pods(cluster: &Cluster) -> Vec<Pod> {
    let said = cluster.kubectl(&["get", "pods", "--selector=app=solo", "--output=json"]);
    let list: Value = serde_json::from_str(&said.unwrap()).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let ready = items.filter(|pod| is(&pod["status"], "Ready", "True"));
    let pods = ready
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| Pod {
            name: pod["metadata"]["name"].as_str().unwrap().to_owned(),
            node: pod["spec"]["nodeName"].as_str().unwrap().to_owned(),
            ip: pod["status"]["podIP"].as_str().unwrap().parse().unwrap(),
        });
    pods.collect()
}
