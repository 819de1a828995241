//! What the agent reports is what happened: the sockets' own counts, exactly.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/histogram.rs"]
mod histogram;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use stoq_lab::quic::{LoadReport, Quantiles, ServeReport};
use stoq_lab::topology::UPLINK;
use stoq_lab::{Impairment, Lab, LabOptions, Pod, transport_yaml, turn, wait_for};

use agent::{Agent, Metrics};
use histogram::Histogram;

const PORT: u16 = 4433;
const SOON: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 4;
/// What else runs on the machine delays the peers in ways that the wire between them does not see:
/// latencies get further chances to be measured in peace.
const RUNS: usize = 3;
const QUIET: Duration = Duration::from_secs(10);

#[test]
fn packets_bytes_and_connections_are_the_peers_own() {
    let Some(_turn) = turn("packets_bytes_and_connections_are_the_peers_own") else {
        return;
    };
    for gso in ["--gso=on", "--gso=off"] {
        for pod in Pod::ALL {
            for target in pod.targets(PORT) {
                let truth = Truth::find(pod, target, gso);
                let what = format!("{pod:?} {target} {gso}");
                truth.holds(&what);
                if gso == "--gso=off" {
                    truth.the_interface_agrees(&what);
                }
            }
        }
    }
}

/// What the agent and the peers say of the same traffic.
struct Truth {
    agent: Metrics,
    client: LoadReport,
    server: ServeReport,
    /// Packets to and from the pod on the interface it is observed at.
    carried: [u64; 2],
}

impl Truth {
    fn find(pod: Pod, target: SocketAddr, gso: &str) -> Self {
        let lab = Lab::up(LabOptions::default()).unwrap();
        let transport = transport_yaml("edge", PORT, "QUIC", &json!({}));
        let agent = Agent::serving(&lab, &[pod], &transport, "Native");
        let before = carried(&lab, pod);
        let (client, server) = traffic(&lab, pod, target, gso);
        let agent = settled(&agent);
        let after = carried(&lab, pod);
        Self {
            carried: [after[0] - before[0], after[1] - before[1]],
            agent,
            client,
            server,
        }
    }

    fn holds(&self, what: &str) {
        for (direction, socket) in [
            ("in", &self.server.socket.rx),
            ("out", &self.server.socket.tx),
        ] {
            assert_eq!(
                self.traffic(direction),
                (socket.datagrams, socket.bytes),
                "{what} {direction}"
            );
        }
        let connections = (self.client.opened, self.client.established);
        assert_eq!(self.connections(), connections, "{what}");
        let sizes = Histogram::of(&self.agent, "stoq_packet_size_bytes");
        assert!(near(&format!("{what}: size"), &sizes, &self.sizes()));
    }

    /// An interface counts offloaded packets as one, and those of neighbour discovery too.
    fn the_interface_agrees(&self, what: &str) {
        for (direction, carried) in ["in", "out"].into_iter().zip(self.carried) {
            let (packets, _) = self.traffic(direction);
            eprintln!("{what} {direction}: {packets} of {carried} on the interface");
            assert!(
                (packets..=packets + 20).contains(&carried),
                "{what} {direction}: {packets} of {carried}"
            );
        }
    }

    fn traffic(&self, direction: &str) -> (u64, u64) {
        let label = format!("direction=\"{direction}\"");
        let sum = |metric| self.agent.sum(metric, &[&label]) as u64;
        (sum("stoq_packets_total"), sum("stoq_bytes_total"))
    }

    /// Exact quantiles of the sizes both ways.
    fn sizes(&self) -> Vec<(f64, f64)> {
        let socket = &self.server.socket;
        let mut all = socket.rx.sizes.clone();
        for (size, count) in &socket.tx.sizes {
            *all.entry(*size).or_default() += count;
        }
        let sizes: Vec<u16> = all
            .iter()
            .flat_map(|(size, count)| std::iter::repeat_n(*size, *count as usize))
            .collect();
        let at = |q: f64| sizes[(q * sizes.len() as f64).ceil() as usize - 1].into();
        [0.1, 0.5, 0.95].map(|q| (q, at(q))).into()
    }

    fn connections(&self) -> (u64, u64) {
        let sum = |event| self.agent.sum("stoq_quic_connections_total", &[event]) as u64;
        (sum("event=\"opened\""), sum("event=\"established\""))
    }
}

fn carried(lab: &Lab, pod: Pod) -> [u64; 2] {
    match pod.host_interface() {
        Some(interface) => {
            let carried = lab.node.counters(interface).unwrap();
            [carried.tx_packets, carried.rx_packets]
        }
        None => {
            let carried = lab.node.counters(UPLINK).unwrap();
            [carried.rx_packets, carried.tx_packets]
        }
    }
}

fn traffic(lab: &Lab, pod: Pod, target: SocketAddr, gso: &str) -> (LoadReport, ServeReport) {
    let server = lab.serve(pod, PORT, &[gso]).unwrap();
    let load = [
        "--clients=5",
        "--rate=200",
        "--seconds=0.6",
        "--response=20000",
        gso,
    ];
    let client = lab.load(target, &load).unwrap().report(SOON).unwrap();
    (client, server.stop(SOON).unwrap())
}

/// The metrics once two scrapes in a row show the same traffic.
fn settled(agent: &Agent) -> Metrics {
    let mut before = None;
    wait_for("counters to settle", QUIET, || {
        let now = agent.scrape().ok()?;
        let packets = now.sum("stoq_packets_total", &[]);
        let seen = before.replace(packets);
        (packets > 0.0 && seen == Some(packets)).then_some(now)
    })
    .unwrap()
}

#[test]
fn handshakes_and_round_trips_are_those_quinn_measured() {
    let Some(_turn) = turn("handshakes_and_round_trips_are_those_quinn_measured") else {
        return;
    };
    for delay_ms in [5, 20, 80] {
        let measure = || Latency::find(Duration::from_millis(delay_ms));
        let mut runs = (0..RUNS).map(|_| measure().holds(&format!("wire of {delay_ms} ms")));
        assert!(
            runs.any(|held| held),
            "wire of {delay_ms} ms: no run of {RUNS} held"
        );
    }
}

/// What the agent and the peers measured on the same wire.
struct Latency {
    rtt: Histogram,
    sender_rtt: Quantiles,
    handshake: Histogram,
    client_handshake: Quantiles,
}

impl Latency {
    fn find(delay: Duration) -> Self {
        let impairment = Impairment {
            loss: 0.01,
            ..Impairment::delay(delay)
        };
        let options = LabOptions {
            impairment: Some(impairment),
            ..LabOptions::default()
        };
        let lab = Lab::up(options).unwrap();
        let transport = transport_yaml("edge", PORT, "QUIC", &json!({}));
        let agent = Agent::serving(&lab, &[Pod::Routed], &transport, "Native");
        let (bulk, server) = bulk(&lab);
        let rtt = Histogram::of(&settled(&agent), "stoq_quic_rtt_seconds");
        let mut handshakes = bulk.handshakes_s;
        handshakes.extend(connections(&lab));
        let handshake = Histogram::of(&settled(&agent), "stoq_quic_handshake_seconds");
        let micros = handshakes.iter().map(|seconds| (seconds * 1e6) as u32);
        Self {
            rtt,
            sender_rtt: server.rtt_s,
            handshake,
            client_handshake: Quantiles::of_micros(micros.collect()),
        }
    }

    fn holds(&self, what: &str) -> bool {
        let rtt = [(0.5, self.sender_rtt.p50), (0.95, self.sender_rtt.p95)];
        let client = &self.client_handshake;
        let handshake = [(0.5, client.p50), (0.95, client.p95)];
        let rtt = near(&format!("{what}: RTT"), &self.rtt, &rtt);
        near(&format!("{what}: handshake"), &self.handshake, &handshake) && rtt
    }
}

/// Whether quantiles are within 15 % of the exact ones.
fn near(what: &str, found: &Histogram, exact: &[(f64, f64)]) -> bool {
    let mut held = true;
    for (q, exact) in exact {
        let off = found.quantile(*q) / exact - 1.0;
        let samples = found.count();
        eprintln!(
            "{what}: q{q} of {samples} samples: {exact} {:+.1} %",
            off * 100.0
        );
        held &= off.abs() <= 0.15;
    }
    held
}

/// Connections that send without pause, the pod to the client.
fn bulk(lab: &Lab) -> (LoadReport, ServeReport) {
    let server = lab.serve(Pod::Routed, PORT, &[]).unwrap();
    let options = [
        "--bulk",
        "--clients=4",
        "--response=1000000000",
        "--seconds=6",
    ];
    let client = lab.load(target(), &options).unwrap().report(SOON).unwrap();
    (client, server.stop(SOON).unwrap())
}

/// Handshake times of a hundred connections, each of a process of its own and few at once: what
/// waits for a core begins later than its client says.
fn connections(lab: &Lab) -> Vec<f64> {
    let server = lab.serve(Pod::Routed, PORT, &[]).unwrap();
    let mut running = VecDeque::new();
    let mut handshakes = Vec::new();
    for started in 0..100 + AT_ONCE {
        if started < 100 {
            let options = ["--clients=1", "--rate=20", "--seconds=0.05"];
            running.push_back(lab.load(target(), &options).unwrap());
        }
        if started >= AT_ONCE {
            let load = running.pop_front().unwrap();
            handshakes.extend(load.report::<LoadReport>(SOON).unwrap().handshakes_s);
        }
    }
    let _: ServeReport = server.stop(SOON).unwrap();
    handshakes
}

fn target() -> SocketAddr {
    Pod::Routed.targets(PORT)[0]
}
