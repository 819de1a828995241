//! An uplink that is not as wished: the rung below takes over, and says why.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use agent::{Agent, SOON, put};
use aya::programs::XdpMode;
use guarded::{assert_guarded, attached, transport};
use serde_json::{Value, json};
use stoq_lab::foreign::{Bare, Bypass, BypassedPod, ForeignXdp};
use stoq_lab::quic::{LoadReport, ServeReport};
use stoq_lab::topology::{ETH, UPLINK};
use stoq_lab::{Lab, LabOptions, Netns, Pod, pod_yaml, transport_yaml, turn};

#[test]
fn an_uplink_of_mtu_9000_refuses_native_and_tcx_guards() {
    let Some(_turn) = turn("an_uplink_of_mtu_9000_refuses_native_and_tcx_guards") else {
        return;
    };
    let lab = guarded::lab(LabOptions {
        mtu: 9000,
        ..LabOptions::default()
    });
    let agent = Agent::start(&lab);
    agent.wait_mode("Tcx");
    assert_degraded(&agent, "MtuTooLarge", "Peer MTU is too large");
    assert_guarded(&lab);
}

#[test]
fn required_native_xdp_that_is_refused_is_not_ready_and_still_guarded() {
    let Some(_turn) = turn("required_native_xdp_that_is_refused_is_not_ready_and_still_guarded")
    else {
        return;
    };
    let lab = guarded::lab(LabOptions {
        mtu: 9000,
        ..LabOptions::default()
    });
    let require = json!({"acceleration": {"xdp": "Require"}});
    put(&lab, "edge", &transport("edge", &require));
    let agent = Agent::start(&lab);
    agent.wait("not ready", |status| {
        let edge = &status["transports"][0];
        (edge["reason"] == "MtuTooLarge" && edge["ready"] == false).then_some(())
    });
    assert_guarded(&lab);
}

#[test]
fn the_xdp_program_of_another_is_left_alone_until_it_goes() {
    let Some(_turn) = turn("the_xdp_program_of_another_is_left_alone_until_it_goes") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let attach = || ForeignXdp::attach(Bare::Pass, UPLINK, XdpMode::Driver);
    let foreign = lab.node.run(attach).unwrap().unwrap();
    let agent = Agent::start(&lab);
    agent.wait_mode("Tcx");
    assert_degraded(&agent, "Conflict", &format!("id {}", foreign.id()));
    assert_guarded(&lab);
    assert_eq!(xdp_on(&lab), foreign.id());
    drop(foreign);
    agent.wait_mode("Native");
    assert_guarded(&lab);
    let ours = attached(&lab);
    assert!(ours.iter().any(|one| one.program_id == xdp_on(&lab)));
}

#[test]
fn a_bypassed_pod_is_guarded_and_counted_at_the_uplink() {
    let Some(_turn) = turn("a_bypassed_pod_is_guarded_and_counted_at_the_uplink") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    put(&lab, "routed", &pod_yaml(Pod::Routed));
    let quic = json!({"filter": {"mode": "Enforce", "deny": ["203.0.113.0/24"]}});
    put(&lab, "edge", &transport_yaml("edge", 4433, "QUIC", &quic));
    put(&lab, "numbers", &transport("numbers", &json!({})));
    lab.node.offload(UPLINK, "gro on").unwrap();
    let pod = bypassed_pod(&lab);
    let attach = || Bypass::attach(UPLINK, &[pod]);
    let _bypass = lab.node.run(attach).unwrap().unwrap();
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    let serve = || lab.serve(Pod::Routed, 4433, &[]).unwrap();
    let server = serve();
    let talk = |seconds: &str| {
        let options = ["--clients=2", "--rate=200", seconds];
        lab.load(Pod::Routed.targets(4433)[0], &options).unwrap()
    };
    let first = talk("--seconds=6");
    agent.wait("uplink-bypass", |status| {
        let edge = &status["transports"][0];
        (edge["pods"][0]["place"] == "uplink-bypass").then_some(())
    });
    let _: LoadReport = first.report(SOON).unwrap();
    let _: ServeReport = server.stop(SOON).unwrap();
    let count = |direction: &str| {
        let labels = ["transport=\"edge\"", &format!("direction=\"{direction}\"")];
        agent.scrape().unwrap().sum("stoq_packets_total", &labels)
    };
    let before = ["in", "out"].map(count);
    let server = serve();
    let load: LoadReport = talk("--seconds=2").report(SOON).unwrap();
    assert_eq!((load.ok, load.failed), (400, 0));
    let served: ServeReport = server.stop(SOON).unwrap();
    let after = ["in", "out"].map(count);
    let truth = [served.socket.rx.datagrams, served.socket.tx.datagrams];
    let counted = [0, 1].map(|i| (after[i] - before[i]) as u64);
    assert_eq!(counted, truth, "{}", agent.log());
    assert_guarded(&lab);
}

/// The one transport is on a lower rung than it prefers, for this reason and in these words.
fn assert_degraded(agent: &Agent<'_>, reason: &str, words: &str) {
    let status = agent.status().unwrap();
    let edge = &status["transports"][0];
    assert_eq!(edge["degraded"], true, "{status:#}");
    assert_eq!(edge["ready"], true, "{status:#}");
    let uplink = status["interfaces"].as_array().unwrap().iter();
    let uplink = { uplink }.find(|one| one["name"] == UPLINK).unwrap();
    for said in [edge, uplink] {
        assert_eq!(said["reason"], reason, "{status:#}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
}

fn bypassed_pod(lab: &Lab) -> BypassedPod {
    let host_side = link(&lab.node, "cali0");
    BypassedPod {
        address: Pod::Routed.v4(),
        host_side: host_side["ifindex"].as_u64().unwrap().try_into().unwrap(),
        mac: mac(&link(&lab.pod, ETH)),
        gateway_mac: mac(&host_side),
    }
}

fn mac(link: &Value) -> stoq_lab::Mac {
    link["address"].as_str().unwrap().parse().unwrap()
}

fn xdp_on(lab: &Lab) -> u32 {
    let id = link(&lab.node, UPLINK)["xdp"]["prog"]["id"].as_u64();
    id.unwrap().try_into().unwrap()
}

fn link(netns: &Netns, interface: &str) -> Value {
    let links = netns.ip(&format!("-j link show {interface}")).unwrap();
    serde_json::from_str::<Value>(&links).unwrap()[0].clone()
}
