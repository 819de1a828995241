//! AF_XDP for pods without privileges: the agent's broker, relays, and what happens when either end dies.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/newer.rs"]
mod newer;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use agent::{Agent, SOON, put, remove, run};
use serde_json::json;
use stoq_ebpf::relay::{Relay, Traffic};
use stoq_lab::number::{NumberReceived, NumberSent};
use stoq_lab::process::Signal;
use stoq_lab::topology::{ETH, NODE_V4, NODE_V6};
use stoq_lab::{Lab, LabOptions, Pod, Process, pod_yaml, tool, transport_yaml, turn, wait_for};

const PORT: u16 = 5000;
/// Nobody, who has no privilege at all.
const USER: u32 = 65_534;

/// A lab with one guarded pod whose processes run as nobody.
fn lab(spec: &serde_json::Value) -> Lab {
    let lab = Lab::up(LabOptions {
        wire_like: true,
        ..LabOptions::default()
    })
    .unwrap();
    let pod = pod_yaml(Pod::Routed);
    let mut pod: serde_json::Value = serde_yaml::from_str(&pod).unwrap();
    pod["spec"]["securityContext"]["runAsUser"] = USER.into();
    put(&lab, "routed", &serde_yaml::to_string(&pod).unwrap());
    put(&lab, "edge", &transport_yaml("edge", PORT, "UDP", spec));
    // Where the client's end of the wire is full it waits, as with a NIC.
    let mut tc = lab.client.command("tc");
    let queue = [
        "qdisc", "replace", "dev", ETH, "root", "pfifo", "limit", "100000",
    ];
    tool::run(tc.args(queue)).unwrap();
    lab
}

fn broker(lab: &Lab) -> PathBuf {
    lab.directory().join("run").join("afxdp.sock")
}

/// The pod's endpoint in IPv4.
fn v4() -> SocketAddr {
    Pod::Routed.targets(PORT)[0]
}

/// A receiver in the pod, with a UDP buffer that only root may have.
fn receiver(lab: &Lab) -> Process {
    let mut command = lab.pod.command(stoq_lab::peers::binary().unwrap());
    started(lab, &mut command, v4(), &[])
}

/// Another: this user, no capabilities, no new privileges, 64 KiB of locked memory.
fn receiver_as(lab: &Lab, user: u32, endpoint: SocketAddr) -> Process {
    let mut command = lab.pod.command("prlimit");
    command.args(["--memlock=65536", "setpriv", "--clear-groups"]);
    command.args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]);
    command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    command.arg(stoq_lab::peers::binary().unwrap());
    started(lab, &mut command, endpoint, &[])
}

fn started(lab: &Lab, command: &mut Command, endpoint: SocketAddr, options: &[&str]) -> Process {
    command.args(["number-recv", "--answer", "--listen"]);
    command.arg(endpoint.to_string());
    command.arg("--af-xdp").arg(broker(lab)).args(options);
    let process = Process::start(command).unwrap();
    assert!(process.line(SOON).unwrap().starts_with("ready"));
    process
}

/// An agent for the lab's objects, with XDP in the uplink's driver.
fn serving(lab: &Lab) -> Agent<'_> {
    let agent = Agent::spawn(lab, &mut run(lab));
    agent.wait_mode("Native");
    agent
}

/// A [`receiver`] to which packets are sent by AF_XDP.
fn steered(lab: &Lab) -> Process {
    let receiver = receiver(lab);
    says(&receiver, "steered true");
    receiver
}

/// Waits until so many packets have come out of the node's one relay.
fn relay_carries(lab: &Lab, packets: u64) {
    let carries = || (relayed(lab).packets > packets).then_some(());
    wait_for("packets by the relay", SOON, carries).unwrap();
}

/// Packets out of the relay, once no more come.
fn settled(lab: &Lab) -> u64 {
    let mut seen = (relayed(lab).packets, Instant::now());
    let quiet = || {
        let packets = relayed(lab).packets;
        if packets != seen.0 {
            seen = (packets, Instant::now());
        }
        (seen.1.elapsed() > Duration::from_millis(500)).then_some(packets)
    };
    wait_for("silence behind the relay", SOON, quiet).unwrap()
}

/// Waits until it says so.
fn says(process: &Process, words: &str) {
    let said = wait_for(words, SOON, || {
        process.line(SOON).unwrap().starts_with(words).then_some(())
    });
    said.unwrap();
}

fn send(lab: &Lab, rate: u64, seconds: f64) -> Process {
    send_to(lab, v4(), rate, seconds)
}

fn send_to(lab: &Lab, target: SocketAddr, rate: u64, seconds: f64) -> Process {
    let (rate, seconds) = (format!("--rate={rate}"), format!("--seconds={seconds}"));
    lab.number_send(target, &[&rate, &seconds]).unwrap()
}

/// Everything arrived, once; returns what the receiver says.
fn whole(sender: Process, receiver: Process) -> NumberReceived {
    let sent: NumberSent = sender.report(Duration::from_secs(60)).unwrap();
    let received: NumberReceived = receiver.stop(SOON).unwrap();
    let [stream] = &received.streams[..] else {
        panic!("{received:?}");
    };
    let counts = (stream.received, stream.lost, stream.duplicated);
    assert_eq!(counts, (sent.sent, 0, 0), "{received:?}");
    assert_eq!(received.foreign, 0, "{received:?}");
    received
}

#[test]
fn a_pod_without_privileges_receives_by_af_xdp() {
    let Some(_turn) = turn("a_pod_without_privileges_receives_by_af_xdp") else {
        return;
    };
    for endpoint in Pod::Routed.targets(PORT) {
        let lab = lab(&json!({}));
        let agent = serving(&lab);
        let receiver = receiver_as(&lab, USER, endpoint);
        says(&receiver, "steered true");
        let sender = send_to(&lab, endpoint, 20_000, 3.0);
        let received = whole(sender, receiver);
        let all: u64 = received.streams.iter().map(|one| one.received).sum();
        // The first of a flow goes to the kernel, and one of every second.
        assert!(received.by_af_xdp > all * 9 / 10, "{received:?}");
        assert_eq!(
            agent
                .settled()
                .sum("stoq_packets_total", &["direction=\"in\""]),
            all as f64 + 10.0
        );
        let gone = || {
            let links = tool::run(lab.node.command("ip").args(["link"])).unwrap();
            (!links.contains("alias stoq")).then_some(())
        };
        wait_for("the relay's end", SOON, gone).unwrap();
    }
}

#[test]
fn nothing_is_lost_when_the_agent_dies_and_comes_back_or_a_newer_one_does() {
    let name = "nothing_is_lost_when_the_agent_dies_and_comes_back_or_a_newer_one_does";
    let Some(_turn) = turn(name) else {
        return;
    };
    let lab = lab(&json!({}));
    let mut upgrade = lab.node.command(newer::build(lab.directory()));
    let usual = run(&lab);
    upgrade.args(usual.get_args().skip_while(|argument| *argument != "run"));
    let agent = serving(&lab);
    let receiver = steered(&lab);
    let sender = send(&lab, 20_000, 15.0);
    let mut agent = after(agent, &lab, &mut run(&lab), &receiver);
    agent = after(agent, &lab, &mut upgrade, &receiver);
    let received = whole(sender, receiver);
    let all: u64 = received.streams.iter().map(|one| one.received).sum();
    assert!(
        received.by_af_xdp > all * 9 / 10,
        "{received:?}\n{}",
        agent.log()
    );
}

/// The next agent, by this command, once the session is its own.
fn after<'a>(agent: Agent<'a>, lab: &'a Lab, next: &mut Command, receiver: &Process) -> Agent<'a> {
    let seen = relayed(lab).packets;
    let flows = |packets| move || (relayed(lab).packets > packets).then_some(());
    wait_for("packets by the relay", SOON, flows(seen + 10_000)).unwrap();
    agent.kill();
    says(receiver, "cut");
    let seen = relayed(lab).packets;
    wait_for("packets without an agent", SOON, flows(seen + 10_000)).unwrap();
    let agent = Agent::spawn(lab, next);
    agent.wait_mode("Native");
    says(receiver, "granted");
    says(receiver, "steered true");
    agent
}

#[test]
fn a_process_that_is_killed_takes_only_what_it_had_not_read() {
    let Some(_turn) = turn("a_process_that_is_killed_takes_only_what_it_had_not_read") else {
        return;
    };
    let lab = lab(&json!({}));
    let agent = serving(&lab);
    let first = steered(&lab);
    let sender = send(&lab, 2_000, 8.0);
    relay_carries(&lab, 2_000);
    first.signal(Signal::STOP).unwrap();
    let waiting = relayed(&lab).packets + 1_000;
    let full = || (relayed(&lab).packets > waiting).then_some(());
    wait_for("packets in the ring", SOON, full).unwrap();
    drop(first);
    let second = steered(&lab);
    let sent: NumberSent = sender.report(SOON).unwrap();
    let received: NumberReceived = second.stop(SOON).unwrap();
    let stream = &received.streams[0];
    // From its first packet on the second one gets all there is.
    assert!(stream.received > sent.sent / 4, "{received:?}");
    assert!(received.by_af_xdp > stream.received / 2, "{received:?}");
    assert_eq!(
        (stream.duplicated, received.foreign),
        (0, 0),
        "{received:?}"
    );
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

#[test]
fn a_pod_that_takes_nothing_gets_its_packets_by_the_kernel() {
    let Some(_turn) = turn("a_pod_that_takes_nothing_gets_its_packets_by_the_kernel") else {
        return;
    };
    let lab = lab(&json!({}));
    let agent = serving(&lab);
    let receiver = steered(&lab);
    let sender = send(&lab, 20_000, 10.0);
    relay_carries(&lab, 20_000);
    receiver.signal(Signal::STOP).unwrap();
    let stopped = Instant::now();
    let noticed = || agent.log().contains("takes no frames").then_some(());
    wait_for("the agent to notice", SOON, noticed).unwrap();
    std::thread::sleep(Duration::from_secs(5).saturating_sub(stopped.elapsed()));
    receiver.signal(Signal::CONT).unwrap();
    says(&receiver, "steered false");
    says(&receiver, "steered true");
    let sent: NumberSent = sender.report(SOON).unwrap();
    let received: NumberReceived = receiver.stop(SOON).unwrap();
    let stream = &received.streams[0];
    // Lost is what came between its last free frame and the agent's second look.
    assert!(stream.lost < 2 * 20_000 + 10_000, "{received:?}");
    assert_eq!(stream.received + stream.lost, sent.sent, "{received:?}");
    assert!(
        received.by_af_xdp < stream.received - 20_000,
        "{received:?}"
    );
}

#[test]
fn only_the_pods_own_user_is_given_a_socket() {
    let Some(_turn) = turn("only_the_pods_own_user_is_given_a_socket") else {
        return;
    };
    let lab = lab(&json!({}));
    let _agent = serving(&lab);
    let receiver = receiver_as(&lab, 1234, v4());
    says(&receiver, "refused NotYours");
}

/// A receiver that has the endpoint's AF_XDP socket, and one beside it that has its UDP socket.
fn pair(lab: &Lab, endpoint: SocketAddr) -> (Process, Process) {
    let program = || lab.pod.command(stoq_lab::peers::binary().unwrap());
    let by_socket = started(lab, &mut program(), endpoint, &["--without-udp"]);
    says(&by_socket, "steered true");
    let mut udp = program();
    udp.args(["number-recv", "--answer", "--listen"]);
    let by_udp = Process::start(udp.arg(endpoint.to_string())).unwrap();
    says(&by_udp, "ready");
    (by_socket, by_udp)
}

/// What came out of the node's one relay so far.
fn relayed(lab: &Lab) -> Traffic {
    let look = || Relay::list().and_then(|relays| relays[0].traffic());
    lab.node.run(look).unwrap().unwrap()
}

/// Waits until nothing comes out of the relay any more; how much did.
fn quiet(lab: &Lab) -> Traffic {
    let mut before = None;
    let settled = wait_for("a quiet relay", SOON, || {
        let now = relayed(lab);
        std::thread::sleep(Duration::from_millis(100));
        (before.replace(now) == Some(now)).then_some(now)
    });
    settled.unwrap()
}

/// An address and port of the node, which sends packets for it on to the pod as `kube-proxy` has it do.
fn front_end(lab: &Lab, pod: SocketAddr) -> SocketAddr {
    const NODE_PORT: u16 = 30500;
    let (family, node) = match pod {
        SocketAddr::V4(_) => ("ip", IpAddr::from(NODE_V4)),
        SocketAddr::V6(_) => ("ip6", IpAddr::from(NODE_V6)),
    };
    let rules = format!(
        "table {family} services {{ chain prerouting {{ type nat hook prerouting priority dstnat; \
         {family} daddr {node} udp dport {NODE_PORT} dnat to {pod}; }}; }}"
    );
    tool::run(lab.node.command("nft").arg(rules)).unwrap();
    let yaml = transport_yaml("edge", PORT, "UDP", &json!({}));
    let mut transport: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
    let front_end = json!({
        "type": "NodePort", "port": NODE_PORT, "targetPort": PORT, "trafficPolicy": "Local",
    });
    transport["status"] = json!({"frontEnds": [front_end]});
    put(lab, "edge", &serde_yaml::to_string(&transport).unwrap());
    SocketAddr::from((node, NODE_PORT))
}

#[test]
fn nothing_is_lost_when_the_pods_process_and_the_agent_are_dead() {
    let Some(_turn) = turn("nothing_is_lost_when_the_pods_process_and_the_agent_are_dead") else {
        return;
    };
    let [v4, v6] = Pod::Routed.targets(PORT);
    for (pod, rp_filter, translated) in [
        (v4, "0", false),
        (v4, "1", false),
        (v4, "0", true),
        (v4, "1", true),
        (v6, "0", false),
        (v6, "0", true),
    ] {
        let lab = lab(&json!({}));
        lab.node
            .sysctl("net/ipv4/conf/all/rp_filter", rp_filter)
            .unwrap();
        // Of a relay's own it does not matter.
        lab.node
            .sysctl("net/ipv6/conf/default/forwarding", "0")
            .unwrap();
        let target = if translated {
            front_end(&lab, pod)
        } else {
            pod
        };
        let agent = serving(&lab);
        let (by_socket, by_udp) = pair(&lab, pod);
        let options = ["--rate=5000", "--seconds=6"];
        let sender = lab.number_send(target, &options).unwrap();
        relay_carries(&lab, 5_000);
        sender.signal(Signal::STOP).unwrap();
        let before = quiet(&lab);
        // As good as dead, and yet there to be gone on with.
        agent.process().signal(Signal::STOP).unwrap();
        let first: NumberReceived = by_socket.stop(SOON).unwrap();
        // At once, so that the flow is still admitted.
        sender.signal(Signal::CONT).unwrap();
        let sent: NumberSent = sender.report(Duration::from_secs(60)).unwrap();
        let after = quiet(&lab);
        let rest: NumberReceived = by_udp.stop(SOON).unwrap();
        agent.process().signal(Signal::CONT).unwrap();
        let [first, rest] = [&first.streams[0], &rest.streams[0]];
        assert_eq!((first.duplicated, rest.duplicated), (0, 0));
        let received = first.received + rest.received;
        assert_eq!(
            received, sent.sent,
            "{first:?}, {rest:?}, {pod}, rp_filter {rp_filter}, {translated}"
        );
        assert!(
            after.packets > before.packets,
            "the relay was the way: {after:?}"
        );
    }
}

#[test]
fn without_ipv6_on_new_devices_there_is_no_socket_for_it_and_nothing_is_lost() {
    let name = "without_ipv6_on_new_devices_there_is_no_socket_for_it_and_nothing_is_lost";
    let Some(_turn) = turn(name) else {
        return;
    };
    let lab = lab(&json!({}));
    lab.node
        .sysctl("net/ipv6/conf/default/disable_ipv6", "1")
        .unwrap();
    let _agent = serving(&lab);
    let endpoint = Pod::Routed.targets(PORT)[1];
    let receiver = receiver_as(&lab, USER, endpoint);
    says(&receiver, "refused NotSupported: no relay: EAFNOSUPPORT");
    let received = whole(send_to(&lab, endpoint, 10_000, 1.0), receiver);
    assert_eq!(received.by_af_xdp, 0);
    steered(&lab);
}

#[test]
fn a_packet_filter_of_the_node_holds_within_readmit_after() {
    let Some(_turn) = turn("a_packet_filter_of_the_node_holds_within_readmit_after") else {
        return;
    };
    let lab = lab(&json!({"acceleration": {"readmitAfter": "500ms"}}));
    let _agent = serving(&lab);
    let receiver = steered(&lab);
    let sender = send(&lab, 5_000, 6.0);
    relay_carries(&lab, 5_000);
    let rules =
        "table inet t { chain c { type filter hook forward priority 0; udp dport 5000 drop; }; }";
    tool::run(lab.node.command("nft").arg(rules)).unwrap();
    let ruled = Instant::now();
    let mut last = (relayed(&lab).packets, Instant::now());
    while ruled.elapsed() < Duration::from_secs(2) {
        let now = relayed(&lab).packets;
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    let held = last.1.duration_since(ruled);
    assert!(
        held < Duration::from_millis(700),
        "packets went past it for {held:?}"
    );
    tool::run(
        lab.node
            .command("nft")
            .args(["delete", "table", "inet", "t"]),
    )
    .unwrap();
    let more = || (relayed(&lab).packets > last.0 + 1_000).then_some(());
    wait_for("packets by the relay again", SOON, more).unwrap();
    drop((sender, receiver));
}

#[test]
fn a_relay_that_goes_is_replaced() {
    let Some(_turn) = turn("a_relay_that_goes_is_replaced") else {
        return;
    };
    let lab = lab(&json!({}));
    let agent = serving(&lab);
    let receiver = steered(&lab);
    let sender = send(&lab, 10_000, 8.0);
    relay_carries(&lab, 5_000);
    let near = lab
        .node
        .run(|| Relay::list().unwrap()[0].near.name.clone())
        .unwrap();
    lab.node.ip(&format!("link del {near}")).unwrap();
    says(&receiver, "refused NoEndpoint");
    says(&receiver, "steered true");
    relay_carries(&lab, 5_000);
    let down = Instant::now();
    lab.node.ip("link set uplink0 down").unwrap();
    let before = settled(&lab);
    lab.node.ip("link set uplink0 up").unwrap();
    let down = down.elapsed();
    relay_carries(&lab, before + 5_000);
    let sent: NumberSent = sender.report(Duration::from_secs(60)).unwrap();
    let received: NumberReceived = receiver.stop(SOON).unwrap();
    let stream = &received.streams[0];
    assert!(
        received.by_af_xdp > sent.sent / 2,
        "{received:?}\n{}",
        agent.log()
    );
    let unplugged = 10_000.0 * down.as_secs_f64();
    assert!((stream.lost as f64) < 5_000.0 + unplugged, "{received:?}");
}

#[test]
fn without_memory_there_is_no_socket_and_nothing_is_lost() {
    let Some(_turn) = turn("without_memory_there_is_no_socket_and_nothing_is_lost") else {
        return;
    };
    let lab = lab(&json!({}));
    let agent = Agent::spawn(&lab, run(&lab).args(["--afxdp-memory", "1"]));
    agent.wait_mode("Native");
    let receiver = receiver(&lab);
    says(&receiver, "refused NoMemory");
    let received = whole(send(&lab, 10_000, 1.0), receiver);
    assert_eq!(received.by_af_xdp, 0);
}

#[test]
fn a_transport_that_is_deleted_or_wants_none_takes_its_sockets_away() {
    let Some(_turn) = turn("a_transport_that_is_deleted_or_wants_none_takes_its_sockets_away")
    else {
        return;
    };
    let lab = lab(&json!({}));
    let _agent = serving(&lab);
    let receiver = steered(&lab);
    let sender = send(&lab, 10_000, 6.0);
    relay_carries(&lab, 5_000);
    let disabled = json!({"acceleration": {"afXdp": "Disabled"}});
    put(
        &lab,
        "edge",
        &transport_yaml("edge", PORT, "UDP", &disabled),
    );
    says(&receiver, "refused Disabled");
    put(
        &lab,
        "edge",
        &transport_yaml("edge", PORT, "UDP", &json!({})),
    );
    says(&receiver, "steered true");
    remove(&lab, "edge");
    says(&receiver, "refused NoEndpoint");
    whole(sender, receiver);
}
