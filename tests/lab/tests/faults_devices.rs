//! Devices that go away and come back are guarded again.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use std::time::{Duration, Instant};

use agent::Agent;
use guarded::{assert_guarded, attached};
use stoq_lab::{Lab, LabOptions, turn, wait_for};

/// How long a device that is back may go without its programs.
const BACK: Duration = Duration::from_secs(5);

#[test]
fn a_pod_interface_that_comes_back_is_guarded_again() {
    let Some(_turn) = turn("a_pod_interface_that_comes_back_is_guarded_again") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    lab.node.ip("link del cali0").unwrap();
    agent.wait("the pod without an interface", |status| {
        (status["transports"][0]["pods"][0]["place"] == "").then_some(())
    });
    replug_pod(&lab);
    assert_back(&lab, "cali0", 2, &agent);
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

#[test]
fn an_uplink_that_comes_back_is_guarded_again() {
    let Some(_turn) = turn("an_uplink_that_comes_back_is_guarded_again") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    lab.node.ip("link del uplink0").unwrap();
    agent.wait("the missing uplink", |status| {
        let mut problems = status["problems"].as_array()?.iter();
        let missing = "uplink uplink0: no such interface";
        problems.any(|one| one == missing).then_some(())
    });
    replug_uplink(&lab);
    assert_back(&lab, "uplink0", 1, &agent);
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

#[test]
fn a_device_that_was_replaced_in_one_moment_is_guarded_again() {
    let Some(_turn) = turn("a_device_that_was_replaced_in_one_moment_is_guarded_again") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    lab.node.ip("link del cali0").unwrap();
    replug_pod(&lab);
    lab.node.ip("link del uplink0").unwrap();
    replug_uplink(&lab);
    assert_back(&lab, "cali0", 2, &agent);
    assert_back(&lab, "uplink0", 1, &agent);
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

#[test]
fn a_pod_that_moves_to_another_interface_is_guarded_there() {
    let Some(_turn) = turn("a_pod_that_moves_to_another_interface_is_guarded_there") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    assert_guarded(&lab);
    let pod = lab.pod.name();
    let node = [
        &format!("link add cali1 type veth peer name eth1 netns {pod}"),
        "link set cali1 address ee:ee:ee:ee:ee:ee up",
        "route replace 10.244.1.10/32 dev cali1",
    ];
    lab.node.ip_batch(&node.map(str::to_owned)).unwrap();
    let pod = [
        "link set eth0 down",
        "addr del 10.244.1.10/32 dev eth0",
        "addr add 10.244.1.10/32 dev eth1",
        "link set eth1 up",
        "route add 169.254.1.1/32 dev eth1 scope link",
        "neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth1 nud permanent",
        "route add default via 169.254.1.1 dev eth1",
    ];
    lab.pod.ip_batch(&pod.map(str::to_owned)).unwrap();
    assert_back(&lab, "cali1", 2, &agent);
    assert_back(&lab, "cali0", 0, &agent);
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

#[test]
fn uplinks_are_found_by_their_default_routes_and_a_new_one_too() {
    let Some(_turn) = turn("uplinks_are_found_by_their_default_routes_and_a_new_one_too") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::spawn(&lab, &mut agent::run_on(&lab, &[]));
    agent.wait_mode("Native");
    assert_back(&lab, "uplink0", 1, &agent);
    assert_guarded(&lab);
    let client = lab.client.name();
    let node = [
        &format!("link add uplink1 type veth peer name eth1 netns {client}"),
        "addr add 198.18.1.1/24 dev uplink1",
        "link set uplink1 up",
        "route add default via 198.18.1.2 dev uplink1 metric 100",
    ];
    lab.node.ip_batch(&node.map(str::to_owned)).unwrap();
    lab.client.ip("link set eth1 up").unwrap();
    assert_back(&lab, "uplink1", 1, &agent);
    lab.node.ip("link del uplink1").unwrap();
    agent.wait("one uplink", |status| {
        let interfaces = status["interfaces"].as_array()?.iter();
        let uplinks = interfaces.filter(|one| one["role"] == "uplink");
        (uplinks.count() == 1).then_some(())
    });
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

/// The interface of this name has so many programs again, in time.
fn assert_back(lab: &Lab, interface: &str, programs: usize, agent: &Agent<'_>) {
    let start = Instant::now();
    let back = || {
        let index = index_of(lab, interface)?;
        let here = attached(lab).into_iter().filter(|one| one.ifindex == index);
        (here.count() == programs).then_some(())
    };
    let found = wait_for(interface, BACK, back);
    assert!(found.is_ok(), "{:?} {}", start.elapsed(), agent.log());
}

fn index_of(lab: &Lab, interface: &str) -> Option<u32> {
    let links = lab.node.ip("-o link").ok()?;
    let line = links
        .lines()
        .find(|line| line.contains(&format!(" {interface}@")))?;
    line.split(':').next()?.parse().ok()
}

fn replug_pod(lab: &Lab) {
    let pod = lab.pod.name();
    let node = [
        &format!("link add cali0 type veth peer name eth0 netns {pod}"),
        "link set cali0 address ee:ee:ee:ee:ee:ee up",
        "route add 10.244.1.10/32 dev cali0",
    ];
    lab.node.ip_batch(&node.map(str::to_owned)).unwrap();
    let keys = [
        ("conf/cali0/proxy_arp", "1"),
        ("neigh/cali0/proxy_delay", "0"),
    ];
    for (key, value) in keys {
        lab.node.sysctl(&format!("net/ipv4/{key}"), value).unwrap();
    }
    let pod = [
        "addr add 10.244.1.10/32 dev eth0",
        "link set eth0 up",
        "route add 169.254.1.1/32 dev eth0 scope link",
        "route add default via 169.254.1.1 dev eth0",
    ];
    lab.pod.ip_batch(&pod.map(str::to_owned)).unwrap();
}

fn replug_uplink(lab: &Lab) {
    let wire = format!(
        "link add uplink0 type veth peer name eth0 netns {}",
        lab.client.name()
    );
    lab.node.ip(&wire).unwrap();
    let ends = [
        (&lab.node, "uplink0", "198.18.0.1", "198.18.0.2"),
        (&lab.client, "eth0", "198.18.0.2", "198.18.0.1"),
    ];
    for (netns, device, own, peer) in ends {
        let lines = [
            format!("addr add {own}/24 dev {device}"),
            format!("link set {device} up"),
            format!("route add default via {peer}"),
        ];
        netns.ip_batch(&lines).unwrap();
    }
}
