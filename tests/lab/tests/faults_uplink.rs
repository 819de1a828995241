//! An uplink that is not as wished: the rung below takes over, and says why.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use agent::{Agent, put};
use aya::programs::XdpMode;
use guarded::{Peer, assert_guarded, assert_peer_guarded, attached, lab_of, transport};
use serde_json::{Value, json};
use stoq_lab::foreign::{Bare, ForeignXdp};
use stoq_lab::topology::UPLINK;
use stoq_lab::{Lab, LabOptions, Netns, turn};

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
    for peer in [Peer::ROUTED, Peer::ROUTED_V6, Peer::BRIDGED_V6] {
        let lab = lab_of(LabOptions::default(), peer.pod);
        gives_way_to_another(&lab, peer);
    }
}

fn gives_way_to_another(lab: &Lab, peer: Peer) {
    let attach = || ForeignXdp::attach(Bare::Pass, UPLINK, XdpMode::Driver);
    let foreign = lab.node.run(attach).unwrap().unwrap();
    let agent = Agent::start(lab);
    agent.wait_mode("Tcx");
    assert_degraded(&agent, "Conflict", &format!("id {}", foreign.id()));
    assert_peer_guarded(lab, peer);
    assert_eq!(xdp_on(lab), foreign.id());
    drop(foreign);
    agent.wait_mode("Native");
    assert_peer_guarded(lab, peer);
    let ours = attached(lab);
    assert!(ours.iter().any(|one| one.program_id == xdp_on(lab)));
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

fn xdp_on(lab: &Lab) -> u32 {
    let id = link(&lab.node, UPLINK)["xdp"]["prog"]["id"].as_u64();
    id.unwrap().try_into().unwrap()
}

fn link(netns: &Netns, interface: &str) -> Value {
    let links = netns.ip(&format!("-j link show {interface}")).unwrap();
    serde_json::from_str::<Value>(&links).unwrap()[0].clone()
}
