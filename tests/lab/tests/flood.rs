//! The flood is what it says, to the packet, and foreign programs do what theirs do.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aya::programs::XdpMode;
use serde_json::Value;
use stoq_lab::flood::{Control, DENIED, Flood, Kind, LOUD, Mix, Options, Target};
use stoq_lab::foreign::{Bare, Bypass, BypassedPod, ForeignXdp};
use stoq_lab::topology::{ETH, NODE_V4, UPLINK};
use stoq_lab::{Lab, LabOptions, Mac, Netns, Pod, turn};

const PORT: u16 = 4433;
const DEADLINE: Duration = Duration::from_secs(10);

/// Index and Ethernet address of an interface.
fn link(netns: &Netns, interface: &str) -> (u32, Mac) {
    let text = netns.ip(&format!("-j link show {interface}")).unwrap();
    let links: Value = serde_json::from_str(&text).unwrap();
    let index = links[0]["ifindex"].as_u64().unwrap();
    let mac = links[0]["address"].as_str().unwrap().parse().unwrap();
    (index.try_into().unwrap(), mac)
}

fn options(lab: &Lab, address: Ipv4Addr) -> Options {
    Options {
        netns: lab.client.path(),
        interface: ETH.to_owned(),
        target: Target {
            mac: link(&lab.node, UPLINK).1,
            address: SocketAddrV4::new(address, PORT),
        },
        mix: Mix::DEMO,
        rate: None,
        duration: Some(Duration::from_millis(400)),
        cpu: None,
        initials: 64,
        loud: stoq_lab::flood::LOUD_SIZE,
        seed: 1,
        server_name: "pod.stoq.test".to_owned(),
        alpn: b"stoq-lab".to_vec(),
    }
}

/// What arrives at a UDP socket in the namespace.
fn receive(netns: &Netns) -> mpsc::Receiver<(Ipv4Addr, Vec<u8>)> {
    let (sender, receiver) = mpsc::channel();
    let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    let socket = netns.run(bind).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let std::net::IpAddr::V4(from) = from.ip() else {
                unreachable!()
            };
            if sender.send((from, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    receiver
}

fn kind(from: Ipv4Addr, datagram: &[u8]) -> Kind {
    let long = datagram[0] & 0x80 != 0;
    match (long, datagram.len()) {
        _ if from == LOUD.0 => Kind::Loud,
        _ if from.octets()[..3] == DENIED.0.octets()[..3] => Kind::Denied,
        (true, 1200..) => Kind::Initial,
        (true, _) => Kind::ShortInitial,
        (false, _) => Kind::ShortHeader,
    }
}

#[test]
fn what_is_offered_arrives_kind_by_kind() {
    let Some(_turn) = turn("what_is_offered_arrives_kind_by_kind") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    lab.node.offload(UPLINK, "gro on").unwrap();
    let arrivals = receive(&lab.node);
    let mut options = options(&lab, NODE_V4);
    options.rate = Some(5000);
    let control = Control::default();
    let report = Flood::prepare(options).unwrap().run(&control).unwrap();
    let mut arrived = HashMap::new();
    for _ in 0..report.total {
        let (from, datagram) = arrivals.recv_timeout(DEADLINE).unwrap();
        *arrived.entry(kind(from, &datagram)).or_insert(0) += 1;
    }
    assert_eq!(Kind::ALL.map(|kind| arrived[&kind]), control.offered());
    assert!((1900..=2000).contains(&report.total), "{report:?}");
}

#[test]
fn one_core_offers_a_million_packets_per_second_until_stopped() {
    let Some(_turn) = turn("one_core_offers_a_million_packets_per_second") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let attach = || ForeignXdp::attach(Bare::Drop, UPLINK, XdpMode::Driver);
    let _drop = lab.node.run(attach).unwrap().unwrap();
    let mut flood = Flood::prepare(Options {
        duration: None,
        ..options(&lab, NODE_V4)
    })
    .unwrap();
    let control = Control::default();
    let report = thread::scope(|scope| {
        let running = scope.spawn(|| flood.run(&control));
        let enough = || (control.offered().iter().sum::<u64>() > 1_000_000).then_some(());
        let reached = stoq_lab::wait_for("a million packets", DEADLINE, enough);
        control.stop();
        reached.and(running.join().unwrap()).unwrap()
    });
    assert!(report.pps > 1e6, "{report:?}");
}

#[test]
fn a_counting_program_sees_every_packet_that_the_wire_does_not_lose() {
    let Some(_turn) = turn("a_counting_program_sees_every_packet_that_the_wire_does_not_lose")
    else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let attach = || ForeignXdp::attach(Bare::Count, UPLINK, XdpMode::Driver);
    let count = lab.node.run(attach).unwrap().unwrap();
    let mut options = options(&lab, NODE_V4);
    options.mix = Mix::only(Kind::Initial);
    options.rate = Some(50_000);
    let report = Flood::prepare(options)
        .unwrap()
        .run(&Control::default())
        .unwrap();
    assert_eq!(report.offered.initial, report.total);
    // Where other work holds the CPU up, the uplink's ring overflows, and says so.
    let lost = lab.node.counters(UPLINK).unwrap().rx_dropped;
    let (packets, bytes) = count.counted().unwrap();
    // The kernel's own neighbour discovery may add a few.
    assert!(
        (report.total..report.total + 20).contains(&(packets + lost)),
        "{packets} and {lost} lost of {report:?}"
    );
    assert!(bytes >= (report.total - lost) * 1242);
}

#[test]
fn a_bypass_carries_packets_past_the_host_side_of_a_pod() {
    let Some(_turn) = turn("a_bypass_carries_packets_past_the_host_side_of_a_pod") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let (host_side, gateway_mac) = link(&lab.node, "cali0");
    let pod = BypassedPod {
        address: Pod::Routed.v4().into(),
        host_side,
        mac: link(&lab.pod, ETH).1,
        gateway_mac,
    };
    let attach = || Bypass::attach(UPLINK, &pod);
    let _bypass = lab.node.run(attach).unwrap().unwrap();
    lab.node.offload(UPLINK, "gro on").unwrap();
    let arrivals = receive(&lab.pod);
    let before = lab.node.counters("cali0").unwrap().tx_packets;
    let mut options = options(&lab, Pod::Routed.v4());
    options.rate = Some(1000);
    let report = Flood::prepare(options)
        .unwrap()
        .run(&Control::default())
        .unwrap();
    for _ in 0..report.total {
        arrivals.recv_timeout(DEADLINE).unwrap();
    }
    let passed = lab.node.counters("cali0").unwrap().tx_packets - before;
    assert!(
        passed < 20,
        "{passed} of {} went through cali0",
        report.total
    );
}
