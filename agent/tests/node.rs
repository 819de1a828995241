//! The node as the agent sees it, in namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod netns;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use netns::{Namespace, in_namespace};
use stoq_agent::node::{HostSide, Node, NodeState, host_side, snapshot, uplinks};

/// Nothing here takes longer on a machine that works.
const DEADLINE: Duration = Duration::from_secs(30);

/// A pod behind `device` with its own route on the host.
fn routed_pod(node: &Namespace, device: &str) -> Namespace {
    let pod = Namespace::new();
    node.ip(&format!(
        "link add {device} type veth peer name eth0 netns {}
         link set {device} up
         route replace 10.0.0.2/32 dev {device}
         route replace fd00::2/128 dev {device}",
        pod.id()
    ));
    pod.ip("addr add 10.0.0.2/32 dev eth0\nlink set eth0 up");
    pod
}

/// A pod behind `port` of the bridge.
fn bridged_pod(node: &Namespace, port: &str) -> Namespace {
    let pod = Namespace::new();
    node.ip(&format!(
        "link add {port} type veth peer name eth0 netns {}
         link set {port} master br0 up",
        pod.id()
    ));
    pod.ip("addr add 10.1.0.2/24 dev eth0
            addr add fd01::2/64 dev eth0 nodad
            link set eth0 up");
    pod
}

/// With an address of its own: one taken from the ports changes with them, and then the kernel
/// forgets every neighbour.
fn bridge(node: &Namespace) {
    node.ip("link add br0 address 02:00:00:00:01:00 type bridge
             addr add 10.1.0.1/24 dev br0
             addr add fd01::1/64 dev br0 nodad
             link set br0 up");
}

/// Waits until the state satisfies `wanted`.
async fn until(node: &mut Node, what: &str, wanted: impl Fn(&NodeState) -> bool) {
    let waiting = async {
        while !wanted(&node.state()) {
            node.changed().await.unwrap();
        }
    };
    let met = tokio::time::timeout(DEADLINE, waiting).await;
    assert!(met.is_ok(), "{what}: not so in {:#?}", node.state());
}

/// Waits until the pod is found on `device`, asking for its resolution as the agent does.
async fn until_found(node: &mut Node, pod: &str, device: &str) {
    let pod: IpAddr = pod.parse().unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let state = node.state();
        let outcome = host_side(&state, pod);
        if let HostSide::NotFound(missing) = &outcome {
            node.resolve(missing);
        }
        if matches!(outcome, HostSide::Interface(index) if state.interfaces[&index].name == device)
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{pod} is not on {device} but {outcome:?}"
        );
        let _ = tokio::time::timeout(Duration::from_millis(100), node.changed()).await;
    }
}

#[test]
fn routed_and_bridged_pods_of_both_families_are_found() {
    in_namespace(async |namespace| {
        let _routed = routed_pod(namespace, "cali1");
        bridge(namespace);
        let _bridged = bridged_pod(namespace, "veth1");
        let mut node = Node::observe().await.unwrap();
        for (pod, device) in [
            ("10.0.0.2", "cali1"),
            ("fd00::2", "cali1"),
            ("10.1.0.2", "veth1"),
            ("fd01::2", "veth1"),
        ] {
            until_found(&mut node, pod, device).await;
        }
    });
}

#[test]
fn the_uplink_is_that_of_the_default_route_when_there_is_one() {
    in_namespace(async |namespace| {
        let outside = Namespace::new();
        let mut node = Node::observe().await.unwrap();
        assert!(uplinks(&node.state(), &[], &[]).found.is_empty());
        assert_eq!(
            uplinks(&node.state(), &["wire".into()], &[]).missing,
            ["wire"]
        );
        namespace.ip(&format!(
            "link add wire type veth peer name eth0 netns {}
             addr add 192.0.2.1/24 dev wire
             link set wire up
             route add default via 192.0.2.254",
            outside.id()
        ));
        let is_wire = |state: &NodeState, configured: &[String]| {
            let found = uplinks(state, configured, &[]).found;
            matches!(found.as_slice(), [one] if one.name == "wire")
        };
        until(&mut node, "uplink by default route", |state| {
            is_wire(state, &[])
        })
        .await;
        assert!(is_wire(&node.state(), &["wire".into()]));
        let own = "192.0.2.1".parse().unwrap();
        assert_eq!(host_side(&node.state(), own), HostSide::HostNetwork(own));
        namespace.ip("link set wire down");
        until(&mut node, "no uplink", |state| {
            uplinks(state, &[], &[]).found.is_empty()
        })
        .await;
    });
}

#[test]
fn a_device_made_again_is_seen_with_its_new_index() {
    in_namespace(async |namespace| {
        namespace.ip("link add wire type veth peer name far");
        let mut node = Node::observe().await.unwrap();
        let index = |state: &NodeState| state.interface_named("wire").map(|one| one.index);
        let before = index(&node.state()).unwrap();
        namespace.ip("link del wire\nlink add wire type veth peer name far");
        until(&mut node, "new index", |state| {
            index(state).is_some_and(|now| now != before)
        })
        .await;
        namespace.ip("link del wire");
        until(&mut node, "gone", |state| index(state).is_none()).await;
    });
}

#[test]
fn a_routed_pod_that_moves_is_found_again() {
    in_namespace(async |namespace| {
        let first = routed_pod(namespace, "cali1");
        let mut node = Node::observe().await.unwrap();
        until_found(&mut node, "10.0.0.2", "cali1").await;
        let _second = routed_pod(namespace, "cali2");
        until_found(&mut node, "10.0.0.2", "cali2").await;
        until_found(&mut node, "fd00::2", "cali2").await;
        drop(first);
        until(&mut node, "old end gone", |state| {
            state.interface_named("cali1").is_none()
        })
        .await;
        until_found(&mut node, "10.0.0.2", "cali2").await;
    });
}

#[test]
fn a_bridged_pod_that_moves_is_found_again_when_it_first_speaks() {
    in_namespace(async |namespace| {
        bridge(namespace);
        let first = bridged_pod(namespace, "veth1");
        let mut node = Node::observe().await.unwrap();
        until_found(&mut node, "10.1.0.2", "veth1").await;
        drop(first);
        let second = bridged_pod(namespace, "veth2");
        second.ip("neigh replace 10.1.0.1 dev eth0 use");
        until_found(&mut node, "10.1.0.2", "veth2").await;
    });
}

#[test]
fn neighbours_that_only_change_state_wake_nobody() {
    in_namespace(async |namespace| {
        bridge(namespace);
        let _pod = bridged_pod(namespace, "veth1");
        let mut node = Node::observe().await.unwrap();
        until_found(&mut node, "10.1.0.2", "veth1").await;
        // Link-local addresses come late, and they are news.
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        let settled = |state: &NodeState| {
            state.addresses.iter().all(|(ip, _)| ip.is_ipv4())
                && state
                    .routes
                    .iter()
                    .all(|route| route.prefix.addr().is_ipv4())
                && state.interfaces.values().all(|one| one.carrier)
        };
        until(&mut node, "settled", settled).await;
        let before = node.state();
        for _ in 0..20 {
            namespace.ip("neigh change 10.1.0.2 dev br0 nud stale\nneigh change 10.1.0.2 dev br0 nud reachable");
        }
        namespace.ip("addr add 192.0.2.1/32 dev lo");
        node.changed().await.unwrap();
        let mut after = (*node.state()).clone();
        after
            .addresses
            .retain(|(ip, _)| *ip != IpAddr::from([192, 0, 2, 1]));
        assert_eq!(after, *before);
        assert_ne!(node.state(), before);
    });
}

#[test]
fn a_burst_of_110_pods_is_seen_and_a_look_stays_under_10_ms() {
    in_namespace(async |namespace| {
        let pods = Namespace::new();
        bridge(namespace);
        let mut node = Node::observe().await.unwrap();
        namespace.ip(&every_pod(|i| {
            format!(
                "link add veth{i} type veth peer name eth{i} netns {}
             link set veth{i} master br0 up
             route add 10.0.0.{i}/32 dev br0
             neigh add 10.1.0.{i} lladdr 02:00:00:00:00:{i:02x} dev br0",
                pods.id()
            )
        }));
        let seen = |state: &NodeState| state.neighbours.len() >= 110;
        until(&mut node, "110 pods", seen).await;
        let mut times = Vec::new();
        for _ in 0..21 {
            let start = Instant::now();
            snapshot().await.unwrap();
            times.push(start.elapsed());
        }
        times.sort();
        eprintln!(
            "snapshot of 110 pods: min {:?} median {:?} max {:?}",
            times[0], times[10], times[20]
        );
        assert!(times[0] < Duration::from_millis(10), "{times:?}");
    });
}

fn every_pod(line: impl Fn(u8) -> String) -> String {
    (2..112).map(line).collect::<Vec<_>>().join("\n")
}
