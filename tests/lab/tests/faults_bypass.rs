//! Packets that go past the host side of a pod's interface: guard and counts move to the uplink.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use agent::{Agent, SOON, put};
use aya::programs::XdpMode;
use guarded::{PORT, Peer, assert_peer_guarded, lab_of, transport};
use serde_json::{Value, json};
use stoq_lab::foreign::{Bare, Bypass, BypassedPod, ForeignXdp};
use stoq_lab::quic::{LoadReport, ServeReport};
use stoq_lab::topology::{CLIENT_V4, ETH, UPLINK};
use stoq_lab::{Lab, LabOptions, Netns, Pod, transport_yaml, turn};

const QUIC: u16 = 4433;
/// The agent looks once a second.
const SEVERAL_LOOKS: Duration = Duration::from_secs(4);
const XDP: [&str; 2] = ["stoq_uplink_out tcx-egress", "stoq_uplink xdp"];
const TCX: [&str; 2] = ["stoq_uplink_out tcx-egress", "stoq_uplink_in tcx-ingress"];

#[test]
fn a_bypassed_pod_is_guarded_and_counted_at_the_uplink() {
    let Some(_turn) = turn("a_bypassed_pod_is_guarded_and_counted_at_the_uplink") else {
        return;
    };
    let lab = lab_of(LabOptions::default(), Pod::Routed);
    moves_to(&XDP, "Native", "Native", &lab, Peer::ROUTED);
}

#[test]
fn where_the_driver_refuses_xdp_as_well_it_is_so_by_tcx() {
    let Some(_turn) = turn("where_the_driver_refuses_xdp_as_well_it_is_so_by_tcx") else {
        return;
    };
    for peer in [Peer::ROUTED, Peer::ROUTED_V6] {
        let options = LabOptions {
            mtu: 9000,
            ..LabOptions::default()
        };
        let lab = lab_of(options, peer.pod);
        moves_to(&TCX, "Tcx", "MtuTooLarge", &lab, peer);
    }
}

#[test]
fn where_another_has_xdp_as_well_it_is_so_by_tcx() {
    let Some(_turn) = turn("where_another_has_xdp_as_well_it_is_so_by_tcx") else {
        return;
    };
    let lab = lab_of(LabOptions::default(), Pod::Bridged);
    let attach = || ForeignXdp::attach(Bare::Pass, UPLINK, XdpMode::Driver);
    let _foreign = lab.node.run(attach).unwrap().unwrap();
    moves_to(&TCX, "Tcx", "Conflict", &lab, Peer::BRIDGED_V6);
}

#[test]
fn a_pod_that_only_sends_is_looked_for_at_the_uplink_and_not_moved() {
    let Some(_turn) = turn("a_pod_that_only_sends_is_looked_for_at_the_uplink_and_not_moved")
    else {
        return;
    };
    let options = LabOptions {
        mtu: 9000,
        ..LabOptions::default()
    };
    let lab = lab_of(options, Pod::Routed);
    let agent = Agent::start(&lab);
    agent.wait_mode("Tcx");
    let pod = Peer::ROUTED.target(PORT);
    let media = socket(lab.netns(Pod::Routed), pod);
    let viewer = socket(&lab.client, (CLIENT_V4, PORT).into());
    let place = |status: &Value| status["transports"][0]["pods"][0]["place"].clone();
    agent.wait("a look at the uplink", |status| {
        media.send_to(b"media", viewer.local_addr().ok()?).ok()?;
        assert_eq!(place(status), "pod", "{}", agent.log());
        (on_uplink(status) == ["stoq_uplink_in tcx-ingress"]).then_some(())
    });
    let asked = Cell::new(0);
    for answered in [false, true] {
        let began = Instant::now();
        agent.wait("the time that a bypass is found in", |status| {
            media.send_to(b"media", viewer.local_addr().ok()?).ok()?;
            if answered {
                viewer.send_to(b"more", pod).ok()?;
                asked.set(asked.get() + 1);
            }
            assert_eq!(place(status), "pod", "{}", agent.log());
            (began.elapsed() >= SEVERAL_LOOKS).then_some(())
        });
    }
    let labels = ["transport=\"edge\"", "direction=\"in\""];
    let counted = agent.settled().sum("stoq_packets_total", &labels);
    assert_eq!(counted, f64::from(asked.get()), "each packet once");
}

fn socket(netns: &Netns, address: SocketAddr) -> UdpSocket {
    netns.run(|| UdpSocket::bind(address)).unwrap().unwrap()
}

fn moves_to(hooks: &[&str], mode: &str, reason: &str, lab: &Lab, peer: Peer) {
    let quic = json!({"filter": {"mode": "Enforce", "deny": ["203.0.113.0/24"]}});
    put(lab, "edge", &transport_yaml("edge", QUIC, "QUIC", &quic));
    put(lab, "numbers", &transport("numbers", &json!({})));
    lab.node.offload(UPLINK, "gro on").unwrap();
    let _bypass = bypass(lab, peer);
    let agent = Agent::start(lab);
    agent.wait_mode(mode);
    notice(&agent, lab, peer);
    let status = agent.status().unwrap();
    let edge = &status["transports"][0];
    assert_eq!(
        (&edge["mode"], &edge["reason"]),
        (&json!(mode), &json!(reason))
    );
    assert_eq!(edge["ready"], true, "{status:#}");
    assert_eq!(on_uplink(&status), hooks, "{status:#}");
    assert_counted(&agent, lab, peer);
    assert_peer_guarded(lab, peer);
}

fn bypass(lab: &Lab, peer: Peer) -> Bypass {
    let host_side = link(&lab.node, peer.pod.host_interface().unwrap());
    // What a bridged pod's packets leave by has the gateway's address.
    let gateway = host_side["master"]
        .as_str()
        .map(|name| link(&lab.node, name));
    let pod = BypassedPod {
        address: peer.target(0).ip(),
        host_side: host_side["ifindex"].as_u64().unwrap().try_into().unwrap(),
        mac: mac(&link(lab.netns(peer.pod), ETH)),
        gateway_mac: mac(gateway.as_ref().unwrap_or(&host_side)),
    };
    let attach = || Bypass::attach(UPLINK, &pod);
    lab.node.run(attach).unwrap().unwrap()
}

/// Traffic until the agent says where the pod is guarded now.
fn notice(agent: &Agent<'_>, lab: &Lab, peer: Peer) {
    let server = lab.serve(peer.pod, QUIC, &[]).unwrap();
    let talk = talk(lab, peer, "--seconds=6");
    agent.wait("uplink-bypass", |status| {
        let edge = &status["transports"][0];
        (edge["pods"][0]["place"] == "uplink-bypass").then_some(())
    });
    let _: LoadReport = talk.report(SOON).unwrap();
    let _: ServeReport = server.stop(SOON).unwrap();
}

/// Every datagram of the pod's socket is counted once.
fn assert_counted(agent: &Agent<'_>, lab: &Lab, peer: Peer) {
    let count = |direction: &str| {
        let labels = ["transport=\"edge\"", &format!("direction=\"{direction}\"")];
        agent.scrape().unwrap().sum("stoq_packets_total", &labels)
    };
    let before = ["in", "out"].map(count);
    let server = lab.serve(peer.pod, QUIC, &[]).unwrap();
    let load: LoadReport = talk(lab, peer, "--seconds=2").report(SOON).unwrap();
    assert_eq!((load.ok, load.failed), (400, 0));
    let served: ServeReport = server.stop(SOON).unwrap();
    let after = ["in", "out"].map(count);
    let truth = [served.socket.rx.datagrams, served.socket.tx.datagrams];
    let counted = [0, 1].map(|i| (after[i] - before[i]) as u64);
    assert_eq!(counted, truth, "{}", agent.log());
}

fn talk(lab: &Lab, peer: Peer, seconds: &str) -> stoq_lab::Process {
    let options = ["--clients=2", "--rate=200", seconds];
    lab.load(peer.target(QUIC), &options).unwrap()
}

/// Programs and hooks of the uplink in the status, by program from the last.
fn on_uplink(status: &Value) -> Vec<String> {
    let mut interfaces = status["interfaces"].as_array().unwrap().iter();
    let uplink = interfaces.find(|one| one["name"] == UPLINK).unwrap();
    let attached = uplink["attached"].as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let mut hooks: Vec<_> = attached
        .map(|one| format!("{} {}", word(&one["program"]), word(&one["hook"])))
        .collect();
    hooks.sort_by(|a, b| b.cmp(a));
    hooks
}

fn link(netns: &Netns, interface: &str) -> Value {
    let links = netns.ip(&format!("-j link show {interface}")).unwrap();
    serde_json::from_str::<Value>(&links).unwrap()[0].clone()
}

fn mac(link: &Value) -> stoq_lab::Mac {
    link["address"].as_str().unwrap().parse().unwrap()
}
