//! A node full of pods with AF_XDP sockets: each sees its own packets, and the agent stays small.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use agent::{Agent, SOON, put, run};
use serde_json::json;
use stoq_lab::number::{NumberReceived, NumberSent};
use stoq_lab::pod::{APP, NAMESPACE};
use stoq_lab::{Lab, LabOptions, Netns, Process, tool, transport_yaml, turn, wait_for};

const PODS: u8 = 64;
const PORT: u16 = 5000;
const FRAMES: u32 = 512;
/// Bytes of a frame.
const FRAME: f64 = 2048.0;
const RATE: u64 = 100;
const MIB: f64 = 1024.0 * 1024.0;

/// One of many: its namespace, with an interface on the node.
struct Pod {
    netns: Netns,
    address: SocketAddr,
}

impl Pod {
    fn up(lab: &Lab, number: u8) -> Self {
        let netns = Netns::create(lab.name().of(&format!("pod{number}"))).unwrap();
        let ip = Ipv4Addr::new(10, 244, 9, number);
        let host = format!("calp{number}");
        let name = netns.name();
        let node = [
            format!("link add {host} mtu 1500 type veth peer name eth0 mtu 1500 netns {name}"),
            format!("link set {host} address ee:ee:ee:ee:ee:ee up"),
            format!("route add {ip}/32 dev {host}"),
        ];
        lab.node.ip_batch(&node).unwrap();
        for (key, value) in [("proxy_arp", "1"), ("forwarding", "1")] {
            lab.node
                .sysctl(&format!("net/ipv4/conf/{host}/{key}"), value)
                .unwrap();
        }
        lab.node
            .sysctl(&format!("net/ipv4/neigh/{host}/proxy_delay"), "0")
            .unwrap();
        let inside = [
            format!("addr add {ip}/32 dev eth0"),
            "link set eth0 up".to_owned(),
            "route add 169.254.1.1/32 dev eth0 scope link".to_owned(),
            "route add 0.0.0.0/0 via 169.254.1.1 dev eth0".to_owned(),
        ];
        netns.ip_batch(&inside).unwrap();
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": NAMESPACE, "name": format!("pod{number}"), "labels": {"app": APP}},
            "spec": {"containers": [{"name": "server", "image": "lab"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": ip}]},
        });
        put(
            lab,
            &format!("pod{number}"),
            &serde_yaml::to_string(&pod).unwrap(),
        );
        let address = SocketAddr::from((ip, PORT));
        Self { netns, address }
    }

    fn receiver(&self, lab: &Lab) -> Process {
        let mut command = self.netns.command(stoq_lab::peers::binary().unwrap());
        command.args([
            "number-recv",
            "--answer",
            "--listen",
            &self.address.to_string(),
        ]);
        command.args(["--frames", &FRAMES.to_string(), "--af-xdp"]);
        command.arg(lab.directory().join("run").join("afxdp.sock"));
        Process::start(&mut command).unwrap()
    }
}

fn is_steered(receiver: &Process) {
    let steered = wait_for("steered", SOON, || {
        (receiver.line(SOON).unwrap() == "steered true").then_some(())
    });
    steered.unwrap();
}

#[test]
fn a_node_full_of_sockets() {
    let Some(_turn) = turn("a_node_full_of_sockets") else {
        return;
    };
    let lab = Lab::up(LabOptions {
        wire_like: true,
        ..LabOptions::default()
    })
    .unwrap();
    put(
        &lab,
        "edge",
        &transport_yaml("edge", PORT, "UDP", &json!({})),
    );
    let pods: Vec<_> = (1..=PODS).map(|number| Pod::up(&lab, number)).collect();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let receivers: Vec<_> = pods.iter().map(|pod| pod.receiver(&lab)).collect();
    receivers.iter().for_each(is_steered);
    let options = [format!("--rate={RATE}"), "--seconds=5".to_owned()];
    let options = options.each_ref().map(String::as_str);
    let senders = pods
        .iter()
        .map(|pod| lab.number_send(pod.address, &options).unwrap());
    let senders: Vec<_> = senders.collect();
    let mut sources = Vec::new();
    for sender in senders {
        let sent: NumberSent = sender.report(Duration::from_secs(60)).unwrap();
        sources.push(sent);
    }
    let metrics = agent.settled();
    assert_eq!(metrics.sum("stoq_afxdp_sessions", &[]), f64::from(PODS));
    let memory = metrics.sum("stoq_afxdp_umem_bytes", &[]);
    assert_eq!(memory, f64::from(PODS) * f64::from(FRAMES) * FRAME);
    let resident = metrics.sum("process_resident_memory_bytes", &[]);
    let code = code(agent.process().pid());
    println!(
        "{PODS} sessions of {} KiB each; the agent has {:.1} MiB, {:.1} of it code",
        memory / f64::from(PODS) / 1024.0,
        resident / MIB,
        code / MIB
    );
    // What is its own, without the UMEMs, which are its pods' alone by now. The code comes on top: 15 MiB in
    // a release, 23 in a debug build.
    let own = resident - code;
    assert!(own <= 15.0 * MIB, "{own} bytes beside the code");
    for ((receiver, sent), pod) in receivers.into_iter().zip(sources).zip(&pods) {
        let received: NumberReceived = receiver.stop(SOON).unwrap();
        let [stream] = &received.streams[..] else {
            panic!("{}: {received:?}", pod.address);
        };
        let port = |address: &str| address.rsplit(':').next().map(str::to_owned);
        assert_eq!(port(&stream.source), port(&sent.source), "somebody else's");
        assert_eq!(
            (stream.received, stream.lost),
            (sent.sent, 0),
            "{received:?}"
        );
        assert_eq!(received.foreign, 0, "{received:?}");
        assert!(received.by_af_xdp > sent.sent * 9 / 10, "{received:?}");
    }
    let gone = || {
        let links = tool::run(lab.node.command("ip").args(["-br", "link"])).unwrap();
        (!links.contains("stoq")).then_some(())
    };
    wait_for("the relays' end", SOON, gone).unwrap();
}

/// Bytes in memory of the files that a process has mapped: its program.
fn code(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssFile:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<f64>().unwrap() * 1024.0
}
