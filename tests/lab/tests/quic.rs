//! QUIC requests cross the wire and the node to every pod.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use stoq_lab::quic::{LoadReport, ServeReport};
use stoq_lab::{Impairment, Lab, LabOptions, Pod, turn, wait_for};

const PORT: u16 = 4433;
const SOON: Duration = Duration::from_secs(30);

fn run(
    lab: &Lab,
    pod: Pod,
    target: SocketAddr,
    load: &[&str],
    serve: &[&str],
) -> (LoadReport, ServeReport) {
    let server = lab.serve(pod, PORT, serve).unwrap();
    let load: LoadReport = lab.load(target, load).unwrap().report(SOON).unwrap();
    (load, server.stop(SOON).unwrap())
}

#[test]
fn requests_reach_every_pod_on_both_families() {
    let Some(_turn) = turn("requests_reach_every_pod_on_both_families") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    for pod in Pod::ALL {
        for target in pod.targets(PORT) {
            let options = [
                "--clients=2",
                "--rate=100",
                "--seconds=0.5",
                "--response=5000",
            ];
            let (load, served) = run(&lab, pod, target, &options, &[]);
            assert_eq!(
                (load.ok, load.failed, load.established),
                (50, 0, 2),
                "{pod:?} {target}"
            );
            assert_eq!(
                (served.answered, served.established),
                (50, 2),
                "{pod:?} {target}"
            );
            assert_eq!(load.handshakes_s.len(), 2);
        }
    }
}

#[test]
fn both_ends_count_the_same_datagrams() {
    let Some(_turn) = turn("both_ends_count_the_same_datagrams") else {
        return;
    };
    for wire_like in [false, true] {
        for gso in ["--gso=on", "--gso=off"] {
            let lab = Lab::up(LabOptions {
                wire_like,
                ..LabOptions::default()
            })
            .unwrap();
            let target = Pod::Routed.targets(PORT)[0];
            let options = [
                "--clients=3",
                "--rate=300",
                "--seconds=1",
                "--response=20000",
                gso,
            ];
            let (load, served) = run(&lab, Pod::Routed, target, &options, &[gso]);
            assert_eq!(
                (load.ok, load.failed),
                (300, 0),
                "{gso} wire-like {wire_like}"
            );
            assert_eq!(
                load.socket.rx, served.socket.tx,
                "{gso} wire-like {wire_like}"
            );
            assert_eq!(
                load.socket.tx, served.socket.rx,
                "{gso} wire-like {wire_like}"
            );
        }
    }
}

#[test]
fn a_client_survives_the_move_to_another_port() {
    let Some(_turn) = turn("a_client_survives_the_move_to_another_port") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let target = Pod::Bridged.targets(PORT)[0];
    let options = [
        "--clients=2",
        "--rate=100",
        "--seconds=1",
        "--rebind-after=0.5",
    ];
    let (load, _) = run(&lab, Pod::Bridged, target, &options, &[]);
    assert_eq!((load.rebound, load.established), (2, 2));
    assert_eq!((load.ok, load.failed), (100, 0));
}

#[test]
fn clients_connect_again_to_a_server_that_came_back() {
    let Some(_turn) = turn("clients_connect_again_to_a_server_that_came_back") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let server = lab.serve(Pod::Routed, PORT, &[]).unwrap();
    let target = Pod::Routed.targets(PORT)[0];
    let load = lab
        .load(target, &["--clients=1", "--rate=50", "--seconds=3"])
        .unwrap();
    wait_for("requests on their way", SOON, || {
        let sent = lab.node.counters("uplink0").ok()?.tx_packets;
        (sent > 50).then_some(())
    })
    .unwrap();
    let first: ServeReport = server.stop(SOON).unwrap();
    let server = lab.serve(Pod::Routed, PORT, &[]).unwrap();
    let report: LoadReport = load.report(SOON).unwrap();
    let second: ServeReport = server.stop(SOON).unwrap();
    assert!(
        first.answered > 0 && second.answered > 0,
        "{first:?} {second:?}"
    );
    assert_eq!((report.established, report.ok + report.failed), (2, 150));
}

#[test]
fn bulk_fills_large_datagrams_on_a_large_wire() {
    let Some(_turn) = turn("bulk_fills_large_datagrams_on_a_large_wire") else {
        return;
    };
    let lab = Lab::up(LabOptions {
        mtu: 9000,
        ..LabOptions::default()
    })
    .unwrap();
    let target = Pod::Routed.targets(PORT)[0];
    let options = [
        "--clients=1",
        "--bulk",
        "--seconds=1",
        "--response=100000000",
        "--mtu=6500",
    ];
    let (load, _) = run(&lab, Pod::Routed, target, &options, &["--mtu=6500"]);
    assert!(load.goodput_bps > 100e6, "{} bit/s", load.goodput_bps);
    assert_eq!(load.socket.rx.quantile(0.9), 6500);
}

#[test]
fn quinn_measures_the_delay_and_loss_of_the_wire() {
    let Some(_turn) = turn("quinn_measures_the_delay_and_loss_of_the_wire") else {
        return;
    };
    for (delay_ms, loss) in [(5, 0.0), (20, 0.01)] {
        let delay = Duration::from_millis(delay_ms);
        let impairment = Impairment {
            loss,
            ..Impairment::delay(delay)
        };
        let options = LabOptions {
            impairment: Some(impairment),
            ..LabOptions::default()
        };
        let lab = Lab::up(options).unwrap();
        let target = Pod::Routed.targets(PORT)[0];
        let load = [
            "--clients=4",
            "--rate=400",
            "--seconds=3",
            "--response=3000",
        ];
        let (load, served) = run(&lab, Pod::Routed, target, &load, &[]);
        assert_eq!((load.ok, load.failed), (1200, 0), "{delay_ms} ms: {load:?}");
        let handshake = load.handshakes_s.iter().copied().fold(f64::MAX, f64::min);
        assert!(
            handshake < 4.0 * delay.as_secs_f64() + 0.05,
            "{delay_ms} ms: {:?}",
            load.handshakes_s
        );
        let ratio = load.rtt_s.p50 / (2.0 * delay.as_secs_f64());
        assert!(
            (0.95..1.1).contains(&ratio),
            "{delay_ms} ms: {:?}",
            load.rtt_s
        );
        let counts = lab.wire().unwrap().counts();
        for way in counts {
            let share = way.lost as f64 / (way.lost + way.carried) as f64;
            assert!((loss * 0.5..=loss * 1.5).contains(&share), "{counts:?}");
            assert_eq!((way.refused, way.reordered), (0, 0));
        }
        assert_eq!(
            loss > 0.0,
            served.quinn.lost_packets > 0,
            "{:?}",
            served.quinn
        );
    }
}
