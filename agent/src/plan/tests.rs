use std::collections::BTreeSet;

use stoq_crds::{Object, read_objects};

use super::*;
use crate::node::fixture::{address, device, node};
use crate::node::{Kind, Mac};

mod front_ends;

const EDGE: &str = "
apiVersion: stoq.io/v1alpha1
kind: StoqTransport
metadata: {name: edge}
spec: {podSelector: {}, ports: [{port: 4433}]}
---
";

/// Two addresses of each pod in the order given.
fn pod(name: &str, ips: [&str; 2]) -> String {
    let [first, second] = ips;
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n\
         status: {{phase: Running, podIPs: [{{ip: '{first}'}}, {{ip: '{second}'}}]}}\n---\n"
    )
}

fn routed() -> String {
    pod("routed", ["10.0.0.1", "fd00::1"])
}

fn objects(yaml: &str) -> Objects {
    let mut objects = Objects::default();
    for read in read_objects(yaml) {
        match read.unwrap() {
            Object::Transport(one) => objects.transports.push(*one),
            Object::Pod(one) => objects.pods.push(*one),
        }
    }
    objects
}

/// An uplink, a routed pod's interface, and a bridge that knows no pod.
fn machine() -> NodeState {
    let devices = [
        device(2, "eth0", Kind::Hardware),
        device(3, "cali1", Kind::Veth),
        device(4, "cni0", Kind::Bridge),
    ];
    node(devices)
        .with_address("192.0.2.1", 2)
        .with_address("127.0.0.1", 1)
        .with_gateway("0.0.0.0/0", &[2])
        .with_route("10.0.0.1/32", &[3])
        .with_route("10.1.0.0/24", &[4])
}

fn planned(yaml: &str, bypassed: &[&str]) -> Plan {
    let bypassed: BTreeSet<IpAddr> = bypassed.iter().map(|ip| address(ip)).collect();
    let detours = Detours {
        bypassed,
        ..Detours::default()
    };
    plan(
        &machine(),
        &objects(yaml),
        &Settings::default(),
        &detours,
        &Wants::default(),
    )
}

/// `name role`, with the uplink's modes and whether endpoints live there.
fn interfaces(plan: &Plan) -> Vec<String> {
    let each = plan.interfaces.values().map(|one| match &one.role {
        Role::Pod => format!("{} pod", one.name),
        Role::Relay => format!("{} relay", one.name),
        Role::Uplink { modes, below } => {
            let live = match below {
                BelowXdp::Nothing => "",
                BelowXdp::Watch => " watch",
                BelowXdp::Endpoints => " endpoints",
            };
            format!("{} {modes:?}{live}", one.name)
        }
    });
    each.collect()
}

/// `transport address place`.
fn endpoints(plan: &Plan) -> Vec<String> {
    let transports = plan.desired.transports.iter();
    let each = transports.flat_map(|one| {
        one.endpoints.iter().map(|endpoint| {
            let place = if endpoint.uplink { "uplink" } else { "pod" };
            format!("{} {} {place}", one.name, endpoint.addr)
        })
    });
    each.collect()
}

#[test]
fn a_pods_place_decides_interfaces_and_endpoints() {
    let host = pod("host", ["192.0.2.1", "fd00::9"]);
    let bridged = pod("bridged", ["10.1.0.1", "fd00::2"]);
    let addressless = "apiVersion: v1\nkind: Pod\nmetadata: {name: new}\n".to_owned();
    // pods, bypassed, interfaces, endpoints
    type Case<'a> = (
        &'a str,
        &'a String,
        &'a [&'a str],
        &'a [&'a str],
        &'a [&'a str],
    );
    let none = String::new();
    let cases: [Case<'_>; 7] = [
        ("no pod", &none, &[], &[], &[]),
        (
            "routed",
            &routed(),
            &[],
            &["eth0 [Native]", "cali1 pod"],
            &["default/edge 10.0.0.1 pod", "default/edge fd00::1 pod"],
        ),
        (
            "bypassed in IPv6",
            &routed(),
            &["fd00::1"],
            &["eth0 [Native] endpoints", "cali1 pod"],
            &["default/edge 10.0.0.1 pod", "default/edge fd00::1 uplink"],
        ),
        (
            "another's address bypassed",
            &routed(),
            &["fd00::7"],
            &["eth0 [Native]", "cali1 pod"],
            &["default/edge 10.0.0.1 pod", "default/edge fd00::1 pod"],
        ),
        (
            "on the host's network",
            &host,
            &[],
            &["eth0 [Native] endpoints"],
            &[
                "default/edge 192.0.2.1 uplink",
                "default/edge fd00::9 uplink",
            ],
        ),
        ("not resolved", &bridged, &[], &[], &[]),
        ("without an address", &addressless, &[], &[], &[]),
    ];
    for (case, pods, bypassed, on, at) in cases {
        let plan = planned(&format!("{EDGE}{pods}"), bypassed);
        assert_eq!(interfaces(&plan), on, "{case}");
        assert_eq!(endpoints(&plan), at, "{case}");
    }
}

#[test]
fn packets_are_watched_by_address_where_they_may_go_past_an_interface() {
    let host = pod("host", ["192.0.2.1", "fd00::9"]);
    let plan = planned(&format!("{EDGE}{host}{}", routed()), &["fd00::1"]);
    let expected = ["10.0.0.1", "fd00::1"].map(address);
    assert_eq!(crate::bypass::watched(&plan), BTreeSet::from(expected));
}

#[test]
fn a_pod_without_a_place_hinders_no_other_and_is_asked_for_where_that_helps() {
    let bridged = pod("bridged", ["10.1.0.1", "fd00::2"]);
    let plan = planned(&format!("{EDGE}{bridged}{}", routed()), &[]);
    assert_eq!(interfaces(&plan), ["eth0 [Native]", "cali1 pod"]);
    let asked: Vec<_> = plan.unresolved().filter_map(Missing::resolvable).collect();
    assert_eq!(asked, [(4, address("10.1.0.1"))]);
    let known = machine().with_neighbour(4, "10.1.0.1", Mac([2; 6]));
    let objects = objects(&format!("{EDGE}{bridged}"));
    let plan = super::plan(
        &known,
        &objects,
        &Settings::default(),
        &Detours::default(),
        &Wants::default(),
    );
    let why = plan.unresolved().next().unwrap().to_string();
    assert!(why.contains("knows no port"), "{why}");
}

#[test]
fn uplinks_try_what_any_transport_with_a_pod_here_would_take() {
    let transport = |name: &str, port: u16, xdp: &str| {
        format!(
            "apiVersion: stoq.io/v1alpha1\nkind: StoqTransport\nmetadata: {{name: {name}}}\n\
             spec: {{podSelector: {{}}, ports: [{{port: {port}}}], acceleration: {{{xdp}}}}}\n---\n"
        )
    };
    let elsewhere = transport("else", 3, "xdpModes: [Generic]")
        .replace("podSelector: {}", "podSelector: {matchLabels: {app: none}}");
    let off = transport("off", 1, "xdp: Disabled");
    let generic = transport("generic", 2, "xdpModes: [Generic]");
    for (transports, modes) in [
        (EDGE.to_owned(), "eth0 [Native]"),
        (off.clone(), "eth0 []"),
        (generic.clone(), "eth0 [Generic]"),
        (format!("{EDGE}{generic}{off}"), "eth0 [Native, Generic]"),
        (format!("{EDGE}{elsewhere}"), "eth0 [Native]"),
    ] {
        let plan = planned(&format!("{transports}{}", routed()), &[]);
        assert_eq!(interfaces(&plan), [modes, "cali1 pod"], "{transports}");
        for transport in &plan.desired.transports {
            let alone = transport.name == "default/off";
            assert!(transport.endpoints.iter().all(|one| one.pod_alone == alone));
        }
    }
}

#[test]
fn the_loser_of_a_conflict_takes_no_part() {
    let younger = EDGE.replace("name: edge", "name: edge2");
    let plan = planned(&format!("{EDGE}{younger}{}", routed()), &[]);
    let [winner, loser] = &plan.transports[..] else {
        panic!("{plan:?}");
    };
    assert_eq!((winner.pods.len(), &winner.conflict), (1, &None));
    assert_eq!(loser.pods.len(), 0);
    assert!(loser.conflict.as_ref().unwrap().contains("default/edge"));
    assert_eq!(plan.desired.transports.len(), 1);
}

#[test]
fn who_lost_on_another_node_takes_no_part_here() {
    let other = EDGE.replace("name: edge", "name: other");
    let other = other.replace("port: 4433", "port: 4434");
    let yaml = format!("{EDGE}{other}{}", routed());
    let of = |yaml: &str| {
        let mut objects = objects(yaml);
        let name = objects.transports[0].name.clone();
        objects.refused = [(name, "port 4433 of pod default/x belongs to".to_owned())].into();
        let (settings, detours) = (Settings::default(), Detours::default());
        plan(&machine(), &objects, &settings, &detours, &Wants::default())
    };
    let with_pod = of(&yaml);
    let [refused, stays] = &with_pod.transports[..] else {
        panic!("{with_pod:?}");
    };
    assert_eq!((refused.pods.len(), stays.pods.len()), (0, 1));
    assert!(refused.conflict.as_ref().unwrap().contains("belongs to"));
    assert_eq!(with_pod.desired.transports[0].name, "default/other");
    // It disputes nothing any more, so a rival of this node's own has the pods.
    let rival = EDGE.replace("name: edge", "name: rival");
    let plan = of(&format!("{EDGE}{rival}{}", routed()));
    assert_eq!(endpoints(&plan)[0], "default/rival 10.0.0.1 pod");
    // Without a pod there is nothing to tell.
    let plan = of(EDGE);
    assert_eq!(
        (&plan.transports[0].conflict, plan.transports[0].is_here()),
        (&None, false)
    );
}

#[test]
fn an_uplink_that_leads_to_a_pod_stays_an_uplink() {
    let settings = Settings {
        uplinks: vec!["cali1".into(), "eth7".into()],
        ..Settings::default()
    };
    let objects = objects(&format!("{EDGE}{}", routed()));
    let plan = plan(
        &machine(),
        &objects,
        &settings,
        &Detours::default(),
        &Wants::default(),
    );
    assert_eq!(interfaces(&plan), ["cali1 [Native]"]);
    assert_eq!(plan.missing_uplinks, ["eth7"]);
}

#[test]
fn what_the_node_s_address_is_on_is_guarded_beside_the_default_route() {
    let mut machine = machine().with_address("198.51.100.1", 5);
    machine
        .interfaces
        .insert(5, device(5, "eth1", Kind::Hardware));
    let objects = objects(&format!("{EDGE}{}", routed()));
    for (node_ips, on) in [
        (vec![], &["eth0 [Native]", "cali1 pod"][..]),
        (
            vec![address("198.51.100.1")],
            &["eth0 [Native]", "cali1 pod", "eth1 [Native]"],
        ),
    ] {
        let settings = Settings {
            node_ips,
            ..Settings::default()
        };
        let (detours, wants) = (Detours::default(), Wants::default());
        let plan = plan(&machine, &objects, &settings, &detours, &wants);
        assert_eq!(interfaces(&plan), on);
    }
}

#[test]
fn a_suspect_has_the_uplink_watched_and_stays_at_its_interface() {
    let detours = Detours {
        suspects: BTreeSet::from([address("10.0.0.1")]),
        ..Detours::default()
    };
    let objects = objects(&format!("{EDGE}{}", routed()));
    let plan = plan(
        &machine(),
        &objects,
        &Settings::default(),
        &detours,
        &Wants::default(),
    );
    assert_eq!(interfaces(&plan), ["eth0 [Native] watch", "cali1 pod"]);
    assert_eq!(endpoints(&plan)[0], "default/edge 10.0.0.1 pod");
}

#[test]
fn the_machines_addresses_are_the_nodes_but_loopback() {
    assert_eq!(planned("", &[]).desired.nodes, [address("192.0.2.1")]);
}

#[test]
fn another_pod_of_the_same_name_is_another_owner() {
    let with_uid =
        |uid: &str| routed().replace("name: routed", &format!("name: routed, uid: {uid}"));
    let owner = |yaml: &str| {
        let plan = planned(&format!("{EDGE}{yaml}"), &[]);
        plan.desired.transports[0].endpoints[0].owner
    };
    assert_eq!(owner(&with_uid("a")), owner(&with_uid("a")));
    assert_ne!(owner(&with_uid("a")), owner(&with_uid("b")));
    assert_eq!(owner(&routed()), owner(&routed()));
}
