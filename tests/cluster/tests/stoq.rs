//! STOQ on two nodes: what is applied is enforced, and nothing that goes down takes it away.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/probe.rs"]
mod probe;
#[path = "support/scene.rs"]
mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use probe::{Answers, until};
use scene::{
    ECHO, Ended, SOON, Streams, Target, cluster, counted, echoes, get, is, plain, transport,
    wait_transport,
};
use serde_json::{Value, json};
use stoq_cluster::stoq::{self, Program};
use stoq_cluster::{Cluster, ClusterOptions, Node, NodeOptions, images, rbac, turn};
use stoq_crds::Timestamp;
use stoq_ebpf::attach::{Pins, list_ours};
use stoq_lab::number::{FAREWELLS, NumberSent};
use stoq_lab::{Process, tool, wait_for};

/// How often it is measured from a command to its effect.
const ROUNDS: usize = 20;
/// How often a node is paused: a word of it takes longer.
const PAUSES: usize = 5;
/// What is promised of 99 in a hundred: from apply to enforced.
const APPLIED: Duration = Duration::from_secs(2);
/// From a changed filter to enforced.
const CHANGED: Duration = Duration::from_secs(1);
/// From a node's state to the status that tells it.
const TOLD: Duration = Duration::from_secs(2);
/// On a machine that is not ours alone the slowest of a few dozen shows what else it does: that is
/// a bound for what is broken, and what is slow shows in the median.
const SLACK: u32 = 5;
/// How old the figures in a status may be, and how much of it is for times in whole seconds.
const FRESH: Duration = Duration::from_secs(60);
/// See [`FRESH`].
const FRESH_SLACK: Duration = Duration::from_secs(5);
/// The kernel's words on an MTU that is too large for XDP.
const MTU: &str = "Peer MTU is too large";
/// Seconds of numbered packets: two periods in which agents report.
const LOAD: u32 = 100;
/// How long there is no API server.
const OUTAGE: Duration = Duration::from_secs(300);
/// After its return all is told again within that.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

#[test]
fn what_is_applied_is_enforced_on_both_nodes_within_seconds_and_goes_without_a_trace() {
    let name = "what_is_applied_is_enforced_on_both_nodes_within_seconds_and_goes_without_a_trace";
    let Some(_turn) = turn(name) else {
        return;
    };
    let cluster = cluster(ClusterOptions {
        audit: true,
        ..plain(2)
    });
    let echoes = echoes(&cluster);
    let deny = transport("echo", ECHO, &json!({}));
    let allow = transport("echo", ECHO, &json!({"filter": {"mode": "Enforce"}}));
    let (mut applied, mut changed, mut ours) = (Vec::new(), Vec::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        applied.push(until(&cluster, &echoes, Answers::None, || {
            cluster.apply(&deny).unwrap();
        }));
        ours.extend(programs(&cluster));
        if round == 0 {
            assert_all_say_so(&cluster);
        }
        changed.push(until(&cluster, &echoes, Answers::All, || {
            cluster.apply(&allow).unwrap();
        }));
        changed.push(until(&cluster, &echoes, Answers::None, || {
            cluster.apply(&deny).unwrap();
        }));
        until(&cluster, &echoes, Answers::All, || {
            cluster.kubectl(&["delete", "stq", "echo"]).unwrap();
        });
    }
    let told = pauses(&cluster, echoes[0]);
    cluster.kubectl(&["delete", "stq", "echo"]).unwrap();
    assert_kept("from apply to enforced", applied, APPLIED);
    assert_kept("from a changed filter to enforced", changed, CHANGED);
    assert_kept("from a pause or its end to the status", told, TOLD);
    assert_nothing_left(&cluster, &ours);
    assert_every_right_was_used(&cluster);
}

/// The kill switch of node-a, and back, again and again; how long until the status says so.
fn pauses(cluster: &Cluster, echo: std::net::SocketAddr) -> Vec<Duration> {
    let pause = |paused: bool| {
        let patch = json!({"spec": {"paused": paused}}).to_string();
        let words = [
            "patch",
            "stoqnode",
            "node-a",
            "--type=merge",
            "--patch",
            &patch,
        ];
        cluster.kubectl(&words).unwrap();
    };
    cluster.apply(&transport("echo", ECHO, &json!({}))).unwrap();
    until(cluster, &[echo], Answers::None, || ());
    let mut told = Vec::new();
    for _ in 0..PAUSES {
        let begun = Instant::now();
        pause(true);
        wait_transport(cluster, "echo", "a paused node", |status| {
            let failures = status["failures"].as_array()?;
            let paused = failures.iter().any(|one| one["reason"] == "Paused");
            let paused = paused && status["nodes"]["none"] == 1;
            (paused && is(status, "Ready", "False")).then_some(())
        });
        told.push(begun.elapsed());
        until(cluster, &[echo], Answers::All, || ());
        let begun = Instant::now();
        pause(false);
        wait_transport(cluster, "echo", "no paused node", |status| {
            let fine = is(status, "Ready", "True") && is(status, "Degraded", "False");
            (fine && status["nodes"]["native"] == 2).then_some(())
        });
        told.push(begun.elapsed());
        until(cluster, &[echo], Answers::None, || ());
    }
    told
}

/// What deploy/ grants and nobody needs is too much.
fn assert_every_right_was_used(cluster: &Cluster) {
    let manifest = fs::read_to_string(stoq::manifests().join("20-rbac.yaml")).unwrap();
    let rules = rbac::rules(&manifest).unwrap();
    let used = cluster.control_plane.uses().unwrap();
    assert_eq!(rbac::unused(&rules, &used), [""; 0]);
}

/// A promise of 99 in a hundred is kept: by half of them as it is, by the rest but for the slack.
fn assert_kept(what: &str, mut took: Vec<Duration>, promise: Duration) {
    took.sort();
    let p99 = took[(took.len() * 99).div_ceil(100) - 1];
    let (least, median, most) = (took[0], took[took.len() / 2], took[took.len() - 1]);
    println!("{what}: min {least:.2?}, median {median:.2?}, p99 {p99:.2?}, max {most:.2?}");
    let kept = median <= promise && p99 <= promise * SLACK;
    assert!(kept, "{what}: promised are {promise:?}");
}

/// The transport, both nodes, and what kubectl shows of them.
fn assert_all_say_so(cluster: &Cluster) {
    wait_transport(cluster, "echo", "two nodes in native XDP", |status| {
        let whole = status["summary"] == json!({"nodes": "2/2", "mode": "Native"});
        let fine = is(status, "Ready", "True") && is(status, "Degraded", "False");
        (whole && fine && status["pods"] == 2).then_some(())
    });
    wait_for("labels", SOON, || {
        let node = get(cluster, "node", "node-a");
        (node["metadata"]["labels"]["stoq.io/xdp"] == "native").then_some(())
    })
    .unwrap();
    let shown = cluster.kubectl(&["get", "stq,stoqnodes"]).unwrap();
    println!("{shown}");
}

/// Neither pins nor relays nor hooks are on any node, and none of our programs in the kernel.
fn assert_nothing_left(cluster: &Cluster, ours: &BTreeSet<u64>) {
    let asked: [&[&str]; 3] = [
        &["ls", "/sys/fs/bpf"],
        &["ip", "-details", "link"],
        &["tc", "qdisc"],
    ];
    let words = ["stoq", "clsact", "prog/xdp"];
    for node in cluster.nodes() {
        let said = || asked.map(|words| node.exec(words).unwrap()).concat();
        let bare = || {
            let said = said();
            (!words.iter().any(|word| said.contains(word))).then_some(())
        };
        wait_for("bare nodes", SOON, bare).unwrap_or_else(|error| panic!("{error}\n{}", said()));
    }
    // TCX has no qdisc, and an older bpftool does not tell it; but what it runs is loaded.
    let left = || loaded().intersection(ours).copied().collect::<Vec<_>>();
    wait_for("no programs", SOON, || left().is_empty().then_some(()))
        .unwrap_or_else(|error| panic!("{error}: {:?}", left()));
}

/// The kernel's ids of the programs on both nodes, once all that belong there are.
fn programs(cluster: &Cluster) -> Vec<u64> {
    let on_node = |node: &Node| {
        let bpffs = format!("/proc/{}/root/sys/fs/bpf", node.pid().unwrap());
        let links = Pins::new(bpffs.as_ref()).links();
        let all = || {
            // What goes while it is looked at makes a look fail.
            let found = node.netns().run(|| list_ours(&links)).unwrap().ok()?;
            // At the uplink, and at both sides of a pod.
            (found.len() >= 3).then_some(found)
        };
        wait_for("all hooks", SOON, all).unwrap()
    };
    let attached = cluster.nodes().iter().flat_map(on_node);
    attached.map(|one| one.program_id.into()).collect()
}

/// The kernel's ids of all programs of the machine.
fn loaded() -> BTreeSet<u64> {
    // One that goes while it is listed is an error of bpftool's.
    let list = || tool::run(Command::new("bpftool").args(["-j", "prog", "list"])).ok();
    let all: Vec<Value> = serde_json::from_str(&wait_for("bpftool", SOON, list).unwrap()).unwrap();
    all.iter().map(|one| one["id"].as_u64().unwrap()).collect()
}

#[test]
fn no_packet_is_lost_or_unfiltered_while_agent_kubelet_and_containerd_are_replaced() {
    let name = "no_packet_is_lost_or_unfiltered_while_agent_kubelet_and_containerd_are_replaced";
    let Some(_turn) = turn(name) else {
        return;
    };
    let cluster = cluster(plain(2));
    stoq::load(
        &cluster,
        Program::Agent,
        "next",
        &images::built("stoq-agent").unwrap(),
    )
    .unwrap();
    let number = Target {
        name: "number",
        node: "node-a",
        af_xdp: false,
    };
    let edge = Target {
        name: "edge",
        node: "node-b",
        af_xdp: true,
    };
    // On both nodes, so that the older of two samples counts, and without traffic.
    echoes(&cluster);
    cluster.apply(&transport("echo", ECHO, &json!({}))).unwrap();
    // Before the first stream ends, and with it the pod whose packets are counted.
    let end = Instant::now() + Duration::from_secs(LOAD.into());
    let to_number = streams(&cluster, number, 5000, LOAD);
    let to_edge = streams(&cluster, edge, 2000, LOAD);
    std::thread::scope(|scope| {
        for name in ["number", "echo"] {
            let cluster = &cluster;
            scope.spawn(move || assert_fresh(cluster, name, end));
        }
        replaced_under_load(&cluster);
    });
    let within = Duration::from_secs(200);
    assert_counted(
        &cluster,
        "number",
        &to_number.assert_whole_and_filtered(within),
    );
    let ended = to_edge.assert_whole_and_filtered(within);
    assert_counted(&cluster, "edge", &ended);
    let by_af_xdp = ended.received.by_af_xdp;
    // The first of a flow comes by UDP, and one of every second.
    assert!(
        by_af_xdp > ended.honest.sent * 9 / 10,
        "{:?}",
        ended.received
    );
}

/// Agents, and kubelet and containerd of node-a.
fn replaced_under_load(cluster: &Cluster) {
    carried(cluster, 2000);
    stoq::roll(cluster, Program::Agent, "next").unwrap();
    let so_far = carried(cluster, 0);
    carried(cluster, so_far + 2000);
    let node = cluster.node("node-a").unwrap();
    node.restart_kubelet().unwrap();
    node.restart_containerd().unwrap();
    cluster.wait_ready().unwrap();
    wait_rates(cluster, "number", 5000, 100);
    // One packet of each hundred is answered.
    wait_rates(cluster, "edge", 2020, 100);
}

/// Until then the figures of a transport are never old.
fn assert_fresh(cluster: &Cluster, transport: &str, end: Instant) {
    let mut command = cluster.control_plane.kubectl_command();
    command.args(["get", "stq", transport, "--watch"]);
    command.arg(r#"--output=jsonpath={.status.traffic.sampledAt}{"\n"}"#);
    let shown = Process::start(&mut command).unwrap();
    let left = || end.saturating_duration_since(Instant::now());
    let (mut samples, mut oldest, mut last) = (0, 0, None::<Timestamp>);
    loop {
        let line = shown.line(left());
        // What was shown last was so until now.
        let age = last.map(|last| Timestamp::now().as_second() - last.as_second());
        oldest = oldest.max(age.unwrap_or(0));
        let Ok(line) = line else { break };
        // None while an agent has only begun.
        let sample = line.parse().ok();
        samples += u32::from(sample.is_some() && sample != last);
        last = sample;
    }
    assert!(left().is_zero(), "{transport}: no longer watched");
    println!("{transport}: the oldest of {samples} samples became {oldest} s old");
    assert!(samples >= 2, "{transport}: {samples}");
    let most = (FRESH + FRESH_SLACK).as_secs() as i64;
    assert!(oldest <= most, "{transport}: {oldest} s");
}

/// Waits until relays have carried that many packets to `edge`, as far as these agents know.
fn carried(cluster: &Cluster, least: u64) -> u64 {
    let carried = wait_for("packets by a relay", SOON, || {
        let carried = counted(cluster, "stoq_afxdp_packets_total", "edge", "");
        (carried >= least).then_some(carried)
    });
    carried.unwrap()
}

/// Waits until the transport tells these rates, of a period within a steady load.
fn wait_rates(cluster: &Cluster, transport: &str, passed: i64, dropped: i64) {
    // The sender is late by milliseconds now and then.
    let near = |rate: &Value, sent: i64| {
        let rate = rate.as_i64()?;
        ((rate - sent).abs() <= 1 + sent / 500).then_some(rate)
    };
    let told = wait_transport(cluster, transport, "the rates in the status", |status| {
        let traffic = &status["traffic"];
        let rates = (&traffic["packetsPerSecond"], &traffic["droppedPerSecond"]);
        Some((near(rates.0, passed)?, near(rates.1, dropped)?))
    });
    println!("{transport}: {told:?} packets/s passed and dropped, of {passed} and {dropped} sent");
}

/// All agents together have counted exactly what was sent.
fn assert_counted(cluster: &Cluster, transport: &str, ended: &Ended) {
    let passed = counted(
        cluster,
        "stoq_packets_total",
        transport,
        r#"direction="in""#,
    );
    let dropped = counted(cluster, "stoq_dropped_packets_total", transport, "");
    let sent = |stream: &NumberSent| stream.sent + u64::from(FAREWELLS);
    assert_eq!(passed, sent(&ended.honest), "{transport}: passed");
    assert_eq!(dropped, sent(&ended.denied), "{transport}: dropped");
}

/// Streams to a pod, guarded by a transport of its name.
fn streams<'a>(cluster: &'a Cluster, to: Target<'_>, rate: u64, seconds: u32) -> Streams<'a> {
    cluster
        .apply(&transport(to.name, scene::NUMBER, &json!({})))
        .unwrap();
    Streams::start(cluster, to, rate, seconds, || {
        wait_transport(cluster, to.name, "a guarded pod", |status| {
            let guarded = status["pods"] == 1 && status["nodes"]["native"] == 1;
            (guarded && is(status, "Ready", "True")).then_some(())
        });
    })
}

#[test]
fn guards_outlast_an_outage_of_the_api_server_in_which_agents_die() {
    let name = "guards_outlast_an_outage_of_the_api_server_in_which_agents_die";
    let Some(_turn) = turn(name) else {
        return;
    };
    let cluster = cluster(plain(2));
    let to = |name, node| Target {
        name,
        node,
        af_xdp: false,
    };
    let both = [to("one", "node-a"), to("other", "node-b")];
    // Longer than it takes: they are ended once all is told again.
    let seconds = (OUTAGE + 3 * TOLD_AGAIN).as_secs() as u32;
    let both = both.map(|to| streams(&cluster, to, 1000, seconds));
    let begun = Instant::now();
    cluster.control_plane.stop_api_server();
    let passed = |time| {
        let passed = || (begun.elapsed() >= time).then_some(());
        wait_for("the time to pass", OUTAGE + SOON, passed).unwrap();
    };
    passed(OUTAGE / 3);
    for node in cluster.nodes() {
        kill_agent(node);
    }
    passed(OUTAGE);
    cluster.control_plane.start_api_server().unwrap();
    let (returned, back) = (Instant::now(), Timestamp::now());
    println!("no API server for {:.0?}", begun.elapsed());
    for (transport, node) in [("one", "node-a"), ("other", "node-b")] {
        wait_transport(&cluster, transport, "a fresh status", |status| {
            let reported = get(&cluster, "stoqnode", node)["status"]["reportedAt"].clone();
            let reported: Timestamp = reported.as_str()?.parse().ok()?;
            let guarded = status["pods"] == 1 && status["nodes"]["native"] == 1;
            (guarded && is(status, "Ready", "True") && reported > back).then_some(())
        });
    }
    let told = returned.elapsed();
    println!("all is told {told:.0?} after its return");
    for streams in both.map(Streams::end) {
        streams.assert_whole_and_filtered(SOON);
    }
    assert!(told < TOLD_AGAIN, "{told:?}");
}

/// SIGKILL; waits until the kubelet has started another one, and that has taken over.
fn kill_agent(node: &Node) {
    let pid = || node.exec(&["pidof", "stoq-agent"]).ok();
    let old = pid().unwrap();
    node.exec(&["kill", "-KILL", old.trim()]).unwrap();
    wait_for("another agent", SOON, || {
        let other = pid().is_some_and(|new| new != old);
        (other && scene::page(node, "readyz").is_some()).then_some(())
    })
    .unwrap();
}

#[test]
fn nodes_that_can_do_less_say_why_and_let_traffic_flow() {
    let Some(_turn) = turn("nodes_that_can_do_less_say_why_and_let_traffic_flow") else {
        return;
    };
    let without_bpffs = NodeOptions {
        bpffs: false,
        ..NodeOptions::default()
    };
    let jumbo = NodeOptions {
        mtu: 9000,
        ..NodeOptions::default()
    };
    let cluster = cluster(ClusterOptions {
        nodes: vec![without_bpffs, jumbo],
        ..ClusterOptions::default()
    });
    let echoes = echoes(&cluster);
    cluster.apply(&transport("echo", ECHO, &json!({}))).unwrap();
    // node-a can hold nothing in force, and node-b does it on a lower rung.
    wait_transport(&cluster, "echo", "two nodes that do less", |status| {
        let reason = |node: &str| Some(failure(status, node)?["reason"].clone());
        let nodes = &status["nodes"];
        let told = nodes["ready"] == 1 && nodes["none"] == 1 && nodes["tcx"] == 1;
        let told = told && reason("node-a").is_some() && reason("node-b")? == "MtuTooLarge";
        (told && is(status, "Degraded", "True")).then_some(())
    });
    let described = cluster.kubectl(&["describe", "stq", "echo"]).unwrap();
    println!("{described}");
    assert!(described.contains(MTU), "{described}");
    for (node, devices) in [("node-a", "0"), ("node-b", "0")] {
        wait_for("devices", SOON, || {
            (scene::devices(&cluster, node) == devices).then_some(())
        })
        .unwrap();
    }

    let require = json!({"acceleration": {"xdp": "Require"}});
    cluster.apply(&transport("echo", ECHO, &require)).unwrap();
    let generation = get(&cluster, "stq", "echo")["metadata"]["generation"].clone();
    let words = wait_transport(&cluster, "echo", "Ready=False on both", |status| {
        let words = failure(status, "node-b")?["message"].as_str()?;
        let new = status["observedGeneration"] == generation && status["nodes"]["ready"] == 0;
        let required = new && is(status, "Ready", "False") && words.contains(MTU);
        required.then(|| words.to_owned())
    });
    println!("required: {words}");
    for echo in echoes {
        let asked = cluster.client.run(|| stoq_lab::echo::ask(echo, SOON));
        asked.unwrap().unwrap();
    }
}

/// What a transport says of a node.
fn failure<'a>(status: &'a Value, node: &str) -> Option<&'a Value> {
    let mut failures = status["failures"].as_array()?.iter();
    failures.find(|one| one["node"] == node)
}
