//! What the agent reports is what happened: the sockets' own counts, exactly.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/agent.rs"]
mod agent;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use stoq_lab::quic::{LoadReport, ServeReport};
use stoq_lab::{Lab, LabOptions, Pod, transport_yaml, turn, wait_for};

use agent::{Agent, Metrics};

const PORT: u16 = 4433;
const SOON: Duration = Duration::from_secs(30);
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
                truth.holds(&format!("{pod:?} {target} {gso}"));
            }
        }
    }
}

/// What the agent and the peers say of the same traffic.
struct Truth {
    agent: Metrics,
    client: LoadReport,
    server: ServeReport,
}

impl Truth {
    fn find(pod: Pod, target: SocketAddr, gso: &str) -> Self {
        let lab = Lab::up(LabOptions::default()).unwrap();
        let transport = transport_yaml("edge", PORT, "QUIC", &json!({}));
        let agent = Agent::serving(&lab, &[pod], &transport, "Native");
        let (client, server) = traffic(&lab, pod, target, gso);
        let agent = settled(&agent);
        Self {
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
    }

    fn traffic(&self, direction: &str) -> (u64, u64) {
        let label = format!("direction=\"{direction}\"");
        let sum = |metric| self.agent.sum(metric, &[&label]) as u64;
        (sum("stoq_packets_total"), sum("stoq_bytes_total"))
    }

    fn connections(&self) -> (u64, u64) {
        let sum = |event| self.agent.sum("stoq_quic_connections_total", &[event]) as u64;
        (sum("event=\"opened\""), sum("event=\"established\""))
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
