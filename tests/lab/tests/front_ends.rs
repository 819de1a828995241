//! Packets to an address and port of the node, which sends them on to a pod, are guarded before it does.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use stoq_lab::number::{NumberReceived, NumberSent};
use stoq_lab::quic::{LoadReport, ServeReport};
use stoq_lab::topology::{NODE_V4, NODE_V6};
use stoq_lab::{Lab, LabOptions, Pod, Process, pod_yaml, tool, transport_yaml, turn, wait_for};

use agent::{Agent, SOON, put};
use guarded::{PORT, Peer, Streams, transport};

/// The front end's port, on the node's addresses.
const NODE_PORT: u16 = 30500;

#[test]
fn a_denied_source_is_dropped_at_the_uplink_and_all_others_reach_the_pod() {
    let name = "a_denied_source_is_dropped_at_the_uplink_and_all_others_reach_the_pod";
    let Some(_turn) = turn(name) else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    guarded::give_denied_sources(&lab);
    send_on(&lab);
    let agent = serving(&lab, &transport("edge", &json!({})), "Local");
    for peer in [Peer::ROUTED, Peer::ROUTED_V6] {
        let before = [dropped(&agent, "uplink"), received(&agent)];
        let streams = Streams::start_at(&lab, peer, front_end(peer), 1000, 0.5);
        let sent = streams.assert_whole_and_filtered();
        agent.settled();
        let dropped = dropped(&agent, "uplink") - before[0];
        let received = received(&agent) - before[1];
        // Each sender says some more times that it has ended.
        let ends = 0..100;
        assert!(
            ends.contains(&(dropped - sent.denied)),
            "{peer:?} {dropped}"
        );
        assert!(
            ends.contains(&(received - sent.honest)),
            "{peer:?} {received}"
        );
    }
    assert_eq!(dropped(&agent, "pod"), 0);
}

#[test]
fn connections_through_a_front_end_are_the_pods_and_free_of_the_budgets_of_strangers() {
    let name = "connections_through_a_front_end_are_the_pods_and_free_of_the_budgets_of_strangers";
    let Some(_turn) = turn(name) else {
        return;
    };
    for policy in ["Local", "Cluster"] {
        let lab = Lab::up(LabOptions::default()).unwrap();
        send_on(&lab);
        if policy == "Cluster" {
            masquerade(&lab);
        }
        let limits = json!({"unestablished": {"packetsPerSecond": 300}});
        let filter = json!({"filter": {"mode": "Enforce", "limits": limits}});
        let agent = serving(&lab, &transport_yaml("edge", PORT, "QUIC", &filter), policy);
        let server = lab.serve(Pod::Routed, PORT, &[]).unwrap();
        // Three times the budget.
        let load = ["--clients=3", "--rate=1000", "--seconds=2"];
        let load = lab.load(front_end(Peer::ROUTED), &load).unwrap();
        let client: LoadReport = load.report(SOON).unwrap();
        let server: ServeReport = server.stop(SOON).unwrap();
        assert_eq!((client.ok, client.failed), (2000, 0), "{policy}");
        agent.settled();
        assert_eq!(received(&agent), server.socket.rx.datagrams, "{policy}");
        let hooks = ["uplink", "pod"].map(|hook| dropped(&agent, hook));
        assert_eq!(hooks, [0; 2], "{policy}");
        let established = count(
            &agent,
            "stoq_quic_connections_total",
            "event=\"established\"",
        );
        assert_eq!((established, client.established), (3, 3), "{policy}");
    }
}

#[test]
fn packets_for_a_front_end_reach_the_socket_of_the_pod_their_flow_was_admitted_to() {
    let name = "packets_for_a_front_end_reach_the_socket_of_the_pod_their_flow_was_admitted_to";
    let Some(_turn) = turn(name) else {
        return;
    };
    let lab = Lab::up(LabOptions {
        wire_like: true,
        ..LabOptions::default()
    })
    .unwrap();
    send_on(&lab);
    let agent = serving(
        &lab,
        &transport_yaml("edge", PORT, "UDP", &json!({})),
        "Local",
    );
    let receiver = with_socket(&lab);
    let steered = || {
        receiver
            .line(SOON)
            .ok()
            .filter(|line| line == "steered true")
    };
    wait_for("steering", SOON, steered).unwrap();
    let send = ["--rate=2000", "--seconds=3"];
    let sender = lab.number_send(front_end(Peer::ROUTED), &send).unwrap();
    let sent: NumberSent = sender.report(SOON).unwrap();
    let received: NumberReceived = receiver.stop(SOON).unwrap();
    let [stream] = &received.streams[..] else {
        panic!("{received:?}");
    };
    let counts = (stream.received, stream.lost, stream.duplicated);
    assert_eq!(counts, (sent.sent, 0, 0), "{received:?}");
    // The first of a flow goes to the kernel, and one of every second.
    assert!(received.by_af_xdp > sent.sent * 9 / 10, "{received:?}");
    agent.settled();
    // With the words at the end, each once: at the relay or at the pod.
    assert_eq!(self::received(&agent), sent.sent + 10);
}

/// A receiver in the pod that asks the agent for a socket, at the pod's own address.
fn with_socket(lab: &Lab) -> Process {
    let mut command = lab.pod.command(stoq_lab::peers::binary().unwrap());
    command.args(["number-recv", "--answer", "--listen"]);
    command.arg(Pod::Routed.targets(PORT)[0].to_string());
    command
        .arg("--af-xdp")
        .arg(lab.directory().join("run").join("afxdp.sock"));
    Process::start(&mut command).unwrap()
}

/// What `kube-proxy` would have the node do.
fn send_on(lab: &Lab) {
    let chain = |family: &str, rule: String| {
        format!(
            "table {family} services {{
                chain prerouting {{
                    type nat hook prerouting priority dstnat;
                    udp dport {NODE_PORT} {rule}
                }}
            }}\n"
        )
    };
    let [v4, v6] = Pod::Routed.targets(PORT);
    let rules = [
        chain("ip", format!("ip daddr {NODE_V4} dnat to {v4}")),
        chain("ip6", format!("ip6 daddr {NODE_V6} dnat to {v6}")),
    ];
    let mut nft = lab.node.command("nft");
    tool::run_with_input(nft.args(["-f", "-"]), &rules.concat()).unwrap();
}

/// What it would have the node do under `externalTrafficPolicy: Cluster`.
fn masquerade(lab: &Lab) {
    let pod = Pod::Routed.v4();
    let chain = format!(
        "table ip services {{
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                ip daddr {pod} udp dport {PORT} masquerade
            }}
        }}\n"
    );
    let mut nft = lab.node.command("nft");
    tool::run_with_input(nft.args(["-f", "-"]), &chain).unwrap();
}

/// An agent for the routed pod and this transport, with its front end as the operator would have found it.
fn serving<'a>(lab: &'a Lab, transport: &str, policy: &str) -> Agent<'a> {
    let front_end =
        json!({"type": "NodePort", "port": NODE_PORT, "targetPort": PORT, "trafficPolicy": policy});
    let mut object: Value = serde_yaml::from_str(transport).unwrap();
    object["status"] = json!({"frontEnds": [front_end]});
    put(lab, "routed", &pod_yaml(Pod::Routed));
    put(lab, "edge", &serde_yaml::to_string(&object).unwrap());
    let agent = Agent::start(lab);
    agent.wait_mode("Native");
    agent
}

fn front_end(peer: Peer) -> SocketAddr {
    let node: IpAddr = if peer.v6 {
        NODE_V6.into()
    } else {
        NODE_V4.into()
    };
    SocketAddr::new(node, NODE_PORT)
}

fn dropped(agent: &Agent<'_>, hook: &str) -> u64 {
    count(
        agent,
        "stoq_dropped_packets_total",
        &format!("hook=\"{hook}\""),
    )
}

fn received(agent: &Agent<'_>) -> u64 {
    count(agent, "stoq_packets_total", "direction=\"in\"")
}

fn count(agent: &Agent<'_>, metric: &str, label: &str) -> u64 {
    agent.scrape().unwrap().sum(metric, &[label]) as u64
}
