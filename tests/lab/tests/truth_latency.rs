//! The times the agent measures are those that quinn measured, on wires that delay and lose.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/histogram.rs"]
mod histogram;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use stoq_lab::quic::{LoadReport, Quantiles, ServeReport};
use stoq_lab::{Impairment, Lab, LabOptions, Pod, RealTime, transport_yaml, turn};

use agent::Agent;
use histogram::{Histogram, near};

const PORT: u16 = 4433;
const SOON: Duration = Duration::from_secs(60);
/// So many that it is no matter of luck on which side of the 95th percentile the handshakes are
/// that the wire has lost a packet of.
const CONNECTIONS: u64 = 400;
const CONNECTIONS_PER_SECOND: u64 = 40;

#[test]
fn handshakes_and_round_trips_are_those_quinn_measured() {
    let Some(_turn) = turn("handshakes_and_round_trips_are_those_quinn_measured") else {
        return;
    };
    // The wire and both peers are processes of this machine: waiting for a core is part of what
    // each of them measures, and of each one's figures another part.
    let _ahead = RealTime::begin().unwrap();
    let held = [5, 20, 80].map(|delay_ms| {
        let what = format!("wire of {delay_ms} ms");
        Latency::find(Duration::from_millis(delay_ms)).holds(&what)
    });
    assert_eq!(held, [true; 3]);
}

/// What the agent and the peers measured on the same wire.
struct Latency {
    handshake: Histogram,
    client_handshake: Quantiles,
    rtt: Histogram,
    sender_rtt: Quantiles,
    /// As `Connection::rtt` tells it: averaged, every 20 ms.
    smoothed_rtt: Quantiles,
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
        let handshakes = connections(&lab);
        let handshake = Histogram::of(&agent.settled(), "stoq_quic_handshake_seconds");
        let server = bulk(&lab, delay);
        let rtt = Histogram::of(&agent.settled(), "stoq_quic_rtt_seconds");
        let micros = handshakes.iter().map(|seconds| (seconds * 1e6) as u32);
        Self {
            handshake,
            client_handshake: Quantiles::of_micros(micros.collect()),
            rtt,
            sender_rtt: server.round_trips_s,
            smoothed_rtt: server.rtt_s,
        }
    }

    fn holds(&self, what: &str) -> bool {
        let client = &self.client_handshake;
        assert_eq!(self.handshake.count(), client.samples, "{what}: handshakes");
        let sender = &self.sender_rtt;
        let handshake = [(0.5, client.p50), (0.95, client.p95)];
        let rtt = [(0.5, sender.p50), (0.95, sender.p95)];
        let smoothed = [(0.5, self.smoothed_rtt.p50)];
        // All are told even if the first does not hold.
        near(&format!("{what}: handshake"), &self.handshake, &handshake)
            & near(&format!("{what}: RTT"), &self.rtt, &rtt)
            & near(&format!("{what}: smoothed RTT"), &self.rtt, &smoothed)
    }
}

/// Handshake times of many connections, one begun after the other. They are clients of one process
/// so that no two share a port: within a second of its last packet a flow measures no handshake.
fn connections(lab: &Lab) -> Vec<f64> {
    let server = lab.serve(Pod::Routed, PORT, &[]).unwrap();
    let options = [
        &format!("--clients={CONNECTIONS}"),
        "--stagger",
        &format!("--rate={CONNECTIONS_PER_SECOND}"),
        &format!("--seconds={}", CONNECTIONS / CONNECTIONS_PER_SECOND),
        "--timeout=10",
    ];
    let load: LoadReport = lab.load(target(), &options).unwrap().report(SOON).unwrap();
    let _: ServeReport = server.stop(SOON).unwrap();
    assert_eq!((load.ok, load.established), (CONNECTIONS, CONNECTIONS));
    load.handshakes_s
}

/// Connections that send without pause, the pod to the client; so many that some of them spin,
/// which quinn leaves to chance.
///
/// Their window is one of two packets every millisecond: congestion control would have the sender
/// pause for half a round trip after a loss, which the spin bit takes for part of the round trip.
fn bulk(lab: &Lab, delay: Duration) -> ServeReport {
    let window = format!("--window={}", 2 * delay.as_millis() * 3000);
    let server = lab.serve(Pod::Routed, PORT, &[&window]).unwrap();
    let options = [
        "--bulk",
        "--clients=8",
        "--response=1000000000",
        "--seconds=6",
    ];
    let _: LoadReport = lab.load(target(), &options).unwrap().report(SOON).unwrap();
    server.stop(SOON).unwrap()
}

fn target() -> SocketAddr {
    Pod::Routed.targets(PORT)[0]
}
