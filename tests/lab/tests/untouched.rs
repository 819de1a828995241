//! Traffic that no transport selects passes byte for byte, though the transport denies everybody.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/frames.rs"]
mod frames;

use serde_json::json;
use stoq_lab::topology::{ETH, UPLINK};
use stoq_lab::{Lab, LabOptions, Pod, may_run, pod_yaml, tool, transport_yaml};

use agent::{Agent, put, run};
use frames::{Tap, ethernet, tcp, udp, v4, v6};

const PORT: u16 = 4433;
const OTHER: u16 = 9999;
/// A device that takes frames of its own address behind both hooks of the uplink.
const BEHIND: &str = "behind0";
const BEHIND_MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
/// Priority 5, VLAN 7; and inside a service provider's VLAN 9.
const TAGS: [&[u8]; 2] = [&[0x81, 0, 0xa0, 7], &[0x88, 0xa8, 0, 9, 0x81, 0, 0xa0, 7]];
const ETHERNET: usize = 14;
const WHOLE: (u16, bool) = (0, false);
const TCP: u8 = 6;
const UDP: u8 = 17;

#[test]
fn what_native_xdp_does_not_select_passes() {
    passes("what_native_xdp_does_not_select_passes", &NATIVE);
}

#[test]
fn what_generic_xdp_does_not_select_passes() {
    passes("what_generic_xdp_does_not_select_passes", &GENERIC);
}

#[test]
fn what_tcx_does_not_select_passes() {
    passes("what_tcx_does_not_select_passes", &TCX);
}

#[test]
fn what_clsact_does_not_select_passes() {
    passes("what_clsact_does_not_select_passes", &CLSACT);
}

/// How a node comes to a rung.
struct Rung {
    mode: &'static str,
    xdp: &'static str,
    mtu: u32,
    options: &'static [&'static str],
}

const NATIVE: Rung = Rung {
    mode: "Native",
    xdp: "Prefer",
    mtu: 1500,
    options: &[],
};
/// The driver refuses native XDP at this MTU.
const GENERIC: Rung = Rung {
    mode: "Generic",
    mtu: 9000,
    ..NATIVE
};
const TCX: Rung = Rung {
    mode: "Tcx",
    xdp: "Disabled",
    ..NATIVE
};
/// As on a kernel before 6.6.
const CLSACT: Rung = Rung {
    mode: "Clsact",
    options: &["--without-tcx"],
    ..TCX
};

fn passes(name: &str, rung: &Rung) {
    if !may_run(name) {
        return;
    }
    let lab = Lab::up(LabOptions {
        mtu: rung.mtu,
        ..LabOptions::default()
    });
    let lab = lab.unwrap();
    let macvlan =
        format!("link add link {UPLINK} name {BEHIND} address 02:00:00:00:00:07 type macvlan");
    lab.node.ip(&macvlan).unwrap();
    lab.node.ip(&format!("link set {BEHIND} up")).unwrap();
    let _agent = deny_everybody(&lab, rung);
    let client = Tap::open(&lab.client, ETH);
    forwarded_to_the_pod(&lab, &client);
    but_the_selected_is_denied(&lab, &client);
    behind_the_uplink(&lab, &client);
    new_neighbours(&lab);
}

fn deny_everybody<'a>(lab: &'a Lab, rung: &Rung) -> Agent<'a> {
    let deny = json!({
        "acceleration": {"xdp": rung.xdp, "xdpModes": ["Native", "Generic"]},
        "filter": {"mode": "Enforce", "deny": ["0.0.0.0/0", "::/0"]},
    });
    for pod in [Pod::Routed, Pod::HostNetwork] {
        put(lab, pod.name(), &pod_yaml(pod));
    }
    put(lab, "edge", &transport_yaml("edge", PORT, "QUIC", &deny));
    let agent = Agent::spawn(lab, run(lab).args(rung.options));
    agent.wait_mode(rung.mode);
    agent
}

/// Packets cross the uplink and the pod's host side: only hop limit and MACs change on the way.
fn forwarded_to_the_pod(lab: &Lab, client: &Tap) {
    let pod = Tap::open(&lab.pod, ETH);
    for (what, [sent, arrived]) in unselected() {
        client.send(&sent);
        pod.expect(what, ETHERNET, &arrived);
    }
}

/// The transport is in force: the same datagrams to its port do not get through.
fn but_the_selected_is_denied(lab: &Lab, client: &Tap) {
    let pod = Tap::open(&lab.pod, ETH);
    let after = packets(TCP, &tcp(OTHER));
    for ([denied, arrived], [follower, last]) in packets(UDP, &udp(PORT, 1200)).iter().zip(&after) {
        client.send(denied);
        client.send(follower);
        assert_eq!(pod.until(ETHERNET, last, arrived), 0);
    }
}

/// What is sent at the client, and what must arrive at the pod behind the Ethernet header.
fn unselected() -> Vec<(&'static str, [Vec<u8>; 2])> {
    let mut all = Vec::new();
    let kinds = [
        ("TCP to the port", TCP, tcp(PORT)),
        ("UDP to another port", UDP, udp(OTHER, 1200)),
        ("UDP of another size", UDP, udp(OTHER, 0)),
        ("SCTP", 132, vec![7; 40]),
    ];
    for (what, protocol, payload) in kinds {
        all.extend(packets(protocol, &payload).map(|packet| (what, packet)));
    }
    let ping = [8, 0, 0xf7, 0xfe, 0, 0, 0, 1];
    all.push(("ICMP", packet_v4(1, WHOLE, &ping)));
    all.push(("ICMPv6", packet_v6(58, &[128, 0, 0, 0, 0, 0, 0, 1])));
    all.extend(fragments().map(|packet| ("fragment to the port", packet)));
    all
}

/// A datagram of 4000 bytes to the selected port, in three pieces, in both families.
fn fragments() -> impl Iterator<Item = [Vec<u8>; 2]> {
    let datagram = udp(PORT, 4000);
    [(0, true), (1440, true), (2880, false)]
        .into_iter()
        .flat_map(move |(offset, more)| {
            let from = usize::from(offset);
            let piece = &datagram[from..datagram.len().min(from + 1440)];
            let place = (offset | u16::from(more)).to_be_bytes();
            let extension = [UDP, 0, place[0], place[1], 0, 0, 0, 9];
            let in_v6 = packet_v6(44, &[&extension, piece].concat());
            [packet_v4(UDP, (offset, more), piece), in_v6]
        })
}

fn packets(protocol: u8, payload: &[u8]) -> [[Vec<u8>; 2]; 2] {
    [
        packet_v4(protocol, WHOLE, payload),
        packet_v6(protocol, payload),
    ]
}

fn packet_v4(protocol: u8, fragment: (u16, bool), payload: &[u8]) -> [Vec<u8>; 2] {
    let with = |hops| v4(Pod::Routed.v4(), hops, protocol, fragment, payload);
    [ethernet(0x0800, &with(64)), with(63)]
}

fn packet_v6(next: u8, payload: &[u8]) -> [Vec<u8>; 2] {
    let with = |hops| v6(Pod::Routed.v6(), hops, next, payload);
    [ethernet(0x86dd, &with(64)), with(63)]
}

/// Frames under one and two VLAN tags, and ARP.
fn behind_the_uplink(lab: &Lab, client: &Tap) {
    let device = Tap::open(&lab.node, BEHIND);
    for (what, [sent, _]) in unselected() {
        let (source, untagged) = sent[6..].split_at(6);
        for tags in TAGS {
            let frame = [&BEHIND_MAC, source, tags, untagged].concat();
            client.send(&frame);
            device.expect(what, 0, &frame);
        }
    }
    let arp = ethernet(0x0806, &[&[0, 1, 8, 0, 6, 4, 0, 2][..], &[9; 20]].concat());
    let arp = [&BEHIND_MAC, &arp[6..]].concat();
    client.send(&arp);
    device.expect("ARP", 0, &arp);
}

/// The node must ask for these addresses and hear the answer.
fn new_neighbours(lab: &Lab) {
    for (address, length, node) in [
        ("198.18.0.77", 24, Pod::HostNetwork.v4().to_string()),
        ("fd00:18::77", 64, Pod::HostNetwork.v6().to_string()),
    ] {
        let add = format!("addr add {address}/{length} dev {ETH}");
        lab.client.ip(&add).unwrap();
        let mut ping = lab.client.command("ping");
        tool::run(ping.args(["-c1", "-W3", "-I", address, &node])).unwrap();
        let neighbours = lab.node.ip(&format!("neigh show {address}")).unwrap();
        assert!(neighbours.contains("02:00:00:00:00:02"), "{neighbours}");
    }
}
