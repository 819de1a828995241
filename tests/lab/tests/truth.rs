//! What the agent counts is what happened: the sockets' own counts and those of the interfaces,
//! exactly.
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
use stoq_lab::topology::{ETH, UPLINK};
use stoq_lab::{Lab, LabOptions, Netns, Pod, Sent, Tally, transport_yaml, turn};

use agent::{Agent, Metrics};
use histogram::{Histogram, near};

const PORT: u16 = 4433;
const SOON: Duration = Duration::from_secs(30);

#[test]
fn packets_bytes_and_connections_are_the_peers_and_the_interfaces_own() {
    let name = "packets_bytes_and_connections_are_the_peers_and_the_interfaces_own";
    let Some(_turn) = turn(name) else {
        return;
    };
    for gso in ["--gso=on", "--gso=off"] {
        for pod in Pod::ALL {
            for target in pod.targets(PORT) {
                let what = format!("{pod:?} {target} {gso}");
                let truth = Truth::find(pod, target, gso);
                truth.the_sockets_agree(&what);
                truth.the_interfaces_agree(&what, target, gso);
            }
        }
    }
}

/// What the agent, the peers and the interfaces say of the same traffic.
struct Truth {
    agent: Metrics,
    client: LoadReport,
    server: ServeReport,
    /// To the pod and from it.
    sent: [Sent; 2],
}

impl Truth {
    fn find(pod: Pod, target: SocketAddr, gso: &str) -> Self {
        let lab = Lab::up(LabOptions::default()).unwrap();
        let transport = transport_yaml("edge", PORT, "QUIC", &json!({}));
        let agent = Agent::serving(&lab, &[pod], &transport, "Native");
        let tallies = senders(&lab, pod).map(|(netns, interface)| {
            let tally = Tally::begin(netns, interface, PORT).unwrap();
            let before = tally.read().unwrap();
            (tally, before)
        });
        let (client, server) = traffic(&lab, pod, target, gso);
        let agent = agent.settled();
        Self {
            agent,
            client,
            server,
            sent: tallies.map(|(tally, before)| tally.read().unwrap().since(&before)),
        }
    }

    fn the_sockets_agree(&self, what: &str) {
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

    fn the_interfaces_agree(&self, what: &str, target: SocketAddr, gso: &str) {
        // Ethernet, IP and UDP.
        let headers = if target.is_ipv4() {
            14 + 20 + 8
        } else {
            14 + 40 + 8
        };
        for (direction, sent) in ["in", "out"].into_iter().zip(&self.sent) {
            eprintln!("{what} {direction}: {sent:?}");
            let (packets, bytes) = self.traffic(direction);
            let bytes = bytes + packets * headers;
            assert_eq!(
                (sent.packets, sent.bytes),
                (packets, bytes),
                "{what} {direction}"
            );
        }
        let [to_pod, from_pod] = &self.sent;
        if gso == "--gso=off" {
            assert_eq!(to_pod.frames, to_pod.packets, "{what} in");
            assert_eq!(from_pod.frames, from_pod.packets, "{what} out");
        } else {
            assert!(from_pod.frames < from_pod.packets, "{what}: no offload");
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

/// The interfaces that send to the pod and from it, next to where the agent counts.
fn senders(lab: &Lab, pod: Pod) -> [(&Netns, &'static str); 2] {
    match pod.host_interface() {
        Some(interface) => [(&lab.node, interface), (lab.netns(pod), ETH)],
        None => [(&lab.client, ETH), (&lab.node, UPLINK)],
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
