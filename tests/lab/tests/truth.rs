//! What the agent reports is what happened: the sockets' own counts, exactly.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/histogram.rs"]
mod histogram;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use stoq_lab::quic::{LoadReport, ServeReport};
use stoq_lab::topology::UPLINK;
use stoq_lab::{Lab, LabOptions, Pod, transport_yaml, turn};

use agent::{Agent, Metrics};
use histogram::{Histogram, near};

const PORT: u16 = 4433;
const SOON: Duration = Duration::from_secs(30);

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
        let agent = agent.settled();
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
