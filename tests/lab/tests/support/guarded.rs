//! A lab whose routed pod is guarded, and the proof that it is: numbered packets.
// Each test file that includes this one uses a part of it; clippy takes only the #[test] functions
// themselves for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use stoq_ebpf::attach::{Attachment, list_ours};
use stoq_ebpf::loader::Pins;
use stoq_lab::number::{NumberReceived, NumberSent};
use stoq_lab::topology::ETH;
use stoq_lab::{Lab, LabOptions, Pod, Process, pod_yaml, tool, transport_yaml, wait_for};

use crate::agent::{SOON, put};

/// The guarded port.
pub const PORT: u16 = 5000;
/// The source that the transport denies; the client has it as well.
pub const DENIED: &str = "203.0.113.7";
/// The same in IPv6.
pub const DENIED_V6: &str = "2001:db8::7";

/// The pod that is spoken to, and in which family.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub pod: Pod,
    pub v6: bool,
}

impl Peer {
    pub const ROUTED: Self = Self {
        pod: Pod::Routed,
        v6: false,
    };
    pub const ROUTED_V6: Self = Self {
        pod: Pod::Routed,
        v6: true,
    };
    pub const BRIDGED_V6: Self = Self {
        pod: Pod::Bridged,
        v6: true,
    };

    /// Its socket's address.
    pub fn target(self, port: u16) -> SocketAddr {
        self.pod.targets(port)[usize::from(self.v6)]
    }

    fn denied(self) -> &'static str {
        if self.v6 { DENIED_V6 } else { DENIED }
    }
}

/// A lab with the files of the routed pod and its transport, for an agent to be started.
pub fn lab(options: LabOptions) -> Lab {
    lab_of(options, Pod::Routed)
}

/// The same with another pod.
pub fn lab_of(options: LabOptions, pod: Pod) -> Lab {
    let lab = Lab::up(options).unwrap();
    give_denied_sources(&lab);
    put(&lab, pod.name(), &pod_yaml(pod));
    put(&lab, "edge", &transport("edge", &json!({})));
    lab
}

/// Gives the client the addresses that the transport denies.
pub fn give_denied_sources(lab: &Lab) {
    for denied in [DENIED, DENIED_V6] {
        lab.client.ip(&format!("addr add {denied} dev lo")).unwrap();
    }
}

/// A transport that denies [`DENIED`] and its like. The fields of `spec` replace its own.
pub fn transport(name: &str, spec: &Value) -> String {
    let deny = [format!("{DENIED}/32"), format!("{DENIED_V6}/128")];
    let mut all = json!({"filter": {"mode": "Enforce", "deny": deny}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        all[field] = value.clone();
    }
    transport_yaml(name, PORT, "UDP", &all)
}

/// Pinned links and filters of STOQ on the node.
pub fn attached(lab: &Lab) -> Vec<Attachment> {
    let links = Pins::new(lab.bpffs()).links();
    // What goes while it is looked at makes a look fail.
    let look = || lab.node.run(|| list_ours(&links)).unwrap().ok();
    let mut found = wait_for("a look at the hooks", SOON, look).unwrap();
    found.sort_by_key(|one| one.link_id);
    found
}

/// Waits until the uplink has taken in so many more packets.
pub fn carry(lab: &Lab, packets: u64) {
    let carried = || lab.node.counters("uplink0").unwrap().rx_packets;
    let aim = carried() + packets;
    wait_for("packets", SOON, || (carried() >= aim).then_some(())).unwrap();
}

/// A few packets from the client and from the denied source: all of the one arrive, and none of
/// the other.
pub fn assert_guarded(lab: &Lab) {
    assert_peer_guarded(lab, Peer::ROUTED);
}

/// The same for this peer.
pub fn assert_peer_guarded(lab: &Lab, peer: Peer) {
    Streams::start(lab, peer, 1000, 0.3).assert_whole_and_filtered();
}

/// Packets that were sent, but for the words at the end.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub honest: u64,
    pub denied: u64,
}

/// Numbered packets from the client and from the denied source, on their way to a pod.
pub struct Streams {
    denied_source: IpAddr,
    receiver: Process,
    honest: Process,
    denied: Process,
}

impl Streams {
    /// Starts them: `rate` honest packets per second, and a thousand denied ones.
    pub fn start(lab: &Lab, peer: Peer, rate: u64, seconds: f64) -> Self {
        Self::start_at(lab, peer, peer.target(PORT), rate, seconds)
    }

    /// The same by an address that leads to the pod.
    pub fn start_at(lab: &Lab, peer: Peer, target: SocketAddr, rate: u64, seconds: f64) -> Self {
        patient(lab);
        let receiver = lab.number_receive(peer.pod, PORT, &[]).unwrap();
        let source = peer.denied();
        let seconds = format!("--seconds={seconds}");
        let send = |options: &[&str]| lab.number_send(target, options).unwrap();
        let denied = send(&[&seconds, "--rate=1000", &format!("--source={source}")]);
        let honest = send(&[&seconds, &format!("--rate={rate}")]);
        Self {
            denied_source: source.parse().unwrap(),
            receiver,
            honest,
            denied,
        }
    }

    /// Waits for their end: every honest packet has arrived, and no other.
    pub fn assert_whole_and_filtered(self) -> Counts {
        let end = Duration::from_secs(60);
        let sent: NumberSent = self.honest.report(end).unwrap();
        let denied: NumberSent = self.denied.report(end).unwrap();
        let received: NumberReceived = self.receiver.stop(SOON).unwrap();
        let through: Vec<_> = received.from(self.denied_source).collect();
        assert!(
            through.is_empty(),
            "unfiltered, of {}: {through:?}",
            denied.sent
        );
        let [honest] = &received.streams[..] else {
            panic!("{received:?}");
        };
        assert_eq!((honest.received, honest.lost), (sent.sent, 0), "{honest:?}");
        Counts {
            honest: sent.sent,
            denied: denied.sent,
        }
    }
}

/// With a queue of its own the client waits where its end of the wire is full, as with a NIC: a
/// node that is held up for a moment must not look like loss on the way. Linux 6.16.
fn patient(lab: &Lab) {
    let mut tc = lab.client.command("tc");
    let queue = [
        "qdisc", "replace", "dev", ETH, "root", "pfifo", "limit", "100000",
    ];
    tool::run(tc.args(queue)).unwrap();
}
