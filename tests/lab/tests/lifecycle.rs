//! What is in force outlives the agent, and goes when it is asked to.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;
#[path = "support/newer.rs"]
mod newer;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use agent::{Agent, SOON, cleanup, put, remove, run};
use guarded::{Peer, Streams, assert_guarded, attached, carry, lab_of, transport};
use serde_json::{Value, json};
use stoq_ebpf::attach::Attachment;
use stoq_lab::{Lab, LabOptions, tool, turn, wait_for};

#[test]
fn no_packet_is_lost_or_unfiltered_across_kill_restart_and_upgrade() {
    let Some(_turn) = turn("no_packet_is_lost_or_unfiltered_across_kill_restart_and_upgrade")
    else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = native(&lab, &mut run(&lab));
    let streams = Streams::start(&lab, Peer::ROUTED, 50_000, 20.0);
    let agent = killed_and_started_again(&lab, agent);
    let (second, tags) = (attached(&lab), tags(&lab));
    let newer = newer(&lab);
    carry(&lab, 50_000);
    assert_eq!(attached(&lab), second, "two agents at once");
    assert!(agent.stop().success());
    newer.wait_mode("Native");
    assert_updated(&second, &lab, &newer);
    assert!(tags.is_disjoint(&self::tags(&lab)), "the same programs");
    carry(&lab, 25_000);
    streams.assert_whole_and_filtered();
}

#[test]
fn nor_in_ipv6_across_kill_and_restart() {
    let Some(_turn) = turn("nor_in_ipv6_across_kill_and_restart") else {
        return;
    };
    for peer in [Peer::ROUTED_V6, Peer::BRIDGED_V6] {
        let lab = lab_of(LabOptions::default(), peer.pod);
        let agent = native(&lab, &mut run(&lab));
        let streams = Streams::start(&lab, peer, 20_000, 10.0);
        let _agent = killed_and_started_again(&lab, agent);
        streams.assert_whole_and_filtered();
    }
}

/// Under traffic: what it attached stays, and its successor's programs take their place.
fn killed_and_started_again<'a>(lab: &'a Lab, agent: Agent<'_>) -> Agent<'a> {
    carry(lab, 20_000);
    let (before, programs) = (attached(lab), tags(lab));
    agent.kill();
    carry(lab, 40_000);
    assert_eq!(attached(lab), before, "what a dead agent attached stays");
    let agent = native(lab, &mut run(lab));
    assert_updated(&before, lab, &agent);
    assert_eq!(tags(lab), programs);
    carry(lab, 20_000);
    agent
}

#[test]
fn deleting_the_last_transport_leaves_nothing() {
    let Some(_turn) = turn("deleting_the_last_transport_leaves_nothing") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = native(&lab, &mut run(&lab));
    let ours = Ours::of(&lab);
    remove(&lab, "edge");
    agent.wait("no transport", |status| {
        status["transports"].as_array()?.is_empty().then_some(())
    });
    ours.assert_gone(&lab);
    put(&lab, "edge", &transport("edge", &json!({})));
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

#[test]
fn cleanup_after_a_kill_leaves_nothing() {
    let Some(_turn) = turn("cleanup_after_a_kill_leaves_nothing") else {
        return;
    };
    for options in [&[][..], &["--without-tcx"]] {
        let lab = guarded::lab(LabOptions::default());
        let agent = native(&lab, run(&lab).args(options));
        let filters = attached(&lab).iter().any(|one| one.link_id.is_none());
        assert_eq!(filters, !options.is_empty());
        let ours = Ours::of(&lab);
        agent.kill();
        let said = cleanup(&lab).unwrap();
        assert!(said.contains("removed pins"), "{said}");
        ours.assert_gone(&lab);
        assert_eq!(cleanup(&lab).unwrap(), "nothing of STOQ is here\n");
    }
}

#[test]
fn the_pins_of_an_older_version_are_taken_over_in_traffic() {
    let Some(_turn) = turn("the_pins_of_an_older_version_are_taken_over_in_traffic") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    native(&lab, &mut run(&lab)).kill();
    let (root, before) = (lab.bpffs().join("stoq"), attached(&lab));
    fs::rename(root.join(current()), root.join("v0")).unwrap();
    let streams = Streams::start(&lab, Peer::ROUTED, 20_000, 5.0);
    carry(&lab, 10_000);
    let agent = native(&lab, &mut run(&lab));
    let versions = fs::read_dir(&root).unwrap().flatten();
    let versions: Vec<_> = versions.map(|version| version.file_name()).collect();
    assert_eq!(versions, [current().as_str()]);
    assert_updated(&before, &lab, &agent);
    carry(&lab, 10_000);
    streams.assert_whole_and_filtered();
}

fn native<'a>(lab: &'a Lab, command: &mut Command) -> Agent<'a> {
    let agent = Agent::spawn(lab, command);
    agent.wait_mode("Native");
    agent
}

/// An agent of a newer build, which has said that it waits for the one that runs.
fn newer(lab: &Lab) -> Agent<'_> {
    let mut command = lab.node.command(newer::build(lab.directory()));
    let usual = run(lab);
    command.args(usual.get_args().skip_while(|argument| *argument != "run"));
    let agent = Agent::spawn(lab, &mut command);
    let said = || agent.log().contains("another agent works on").then_some(());
    wait_for("the newer agent's wait", SOON, said).unwrap();
    agent
}

/// What the kernel makes of the attached programs' instructions.
fn tags(lab: &Lab) -> BTreeSet<String> {
    let ids: BTreeSet<u64> = attached(lab)
        .iter()
        .map(|one| one.program_id.into())
        .collect();
    let all = bpftool("prog")
        .into_iter()
        .filter(|one| ids.contains(&id(one)));
    all.map(|one| one["tag"].as_str().unwrap().to_owned())
        .collect()
}

/// The links are those of before, with new programs in them.
fn assert_updated(before: &[Attachment], lab: &Lab, agent: &Agent<'_>) {
    let now = attached(lab);
    let links = |all: &[Attachment]| -> Vec<_> {
        let links = all.iter();
        { links }
            .map(|one| (one.kind, one.interface.clone(), one.link_id))
            .collect()
    };
    assert_eq!(links(before), links(&now), "{}", agent.log());
    for (old, new) in before.iter().zip(&now) {
        assert_ne!(old.program_id, new.program_id, "{new:?}");
    }
}

/// The kernel's ids of what an agent has brought in.
struct Ours {
    programs: BTreeSet<u64>,
    maps: BTreeSet<u64>,
}

impl Ours {
    fn of(lab: &Lab) -> Self {
        let attached = attached(lab);
        assert!(attached.len() >= 3, "{attached:?}");
        let programs: BTreeSet<u64> = attached.iter().map(|one| one.program_id.into()).collect();
        let all = bpftool("prog");
        let used = all.iter().filter(|one| programs.contains(&id(one)));
        let maps = used.flat_map(|one| one["map_ids"].as_array().cloned().unwrap_or_default());
        let maps: BTreeSet<u64> = maps.filter_map(|id| id.as_u64()).collect();
        assert!(maps.len() > 5, "{maps:?}");
        Self { programs, maps }
    }

    fn assert_gone(&self, lab: &Lab) {
        let left = || [self.in_kernel(), on_node(lab)].concat();
        // The kernel frees programs and maps in the background.
        let gone = wait_for("nothing left", SOON, || left().is_empty().then_some(()));
        assert!(gone.is_ok(), "{:?}", left());
    }

    fn in_kernel(&self) -> Vec<String> {
        let left = |kind, ids: &BTreeSet<u64>| -> Vec<String> {
            let all = bpftool(kind)
                .into_iter()
                .filter(|one| ids.contains(&id(one)));
            all.map(|one| format!("{kind} {}", one["name"])).collect()
        };
        [left("prog", &self.programs), left("map", &self.maps)].concat()
    }
}

/// Pins, hooks, qdiscs and devices of STOQ.
fn on_node(lab: &Lab) -> Vec<String> {
    let node = &lab.node;
    let pins = lab.bpffs().join("stoq");
    let mut left: Vec<_> = pins
        .exists()
        .then(|| pins.display().to_string())
        .into_iter()
        .collect();
    let said = |program: &str, arguments: &[&str]| {
        tool::run(node.command(program).args(arguments)).unwrap()
    };
    let links = said("ip", &["-d", "link"]);
    let qdiscs = said("tc", &["qdisc"]);
    let hooks = said("bpftool", &["net"]);
    let lines = links.lines().chain(qdiscs.lines()).chain(hooks.lines());
    let words = ["stoq", "clsact", "prog/xdp"];
    left.extend(
        lines
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .map(str::to_owned),
    );
    left
}

fn bpftool(kind: &str) -> Vec<Value> {
    // An object that goes while it is listed is an error of bpftool's.
    let list = || tool::run(Command::new("bpftool").args(["-j", kind, "list"])).ok();
    serde_json::from_str(&wait_for("bpftool", SOON, list).unwrap()).unwrap()
}

fn id(object: &Value) -> u64 {
    object["id"].as_u64().unwrap()
}

/// The pin tree's directory of this version.
fn current() -> String {
    format!("v{}", stoq_ebpf_abi::ABI_VERSION)
}
