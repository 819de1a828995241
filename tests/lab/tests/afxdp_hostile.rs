//! AF_XDP and pods written in C: one that does as the protocol's page says, and one that means harm.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/pods.rs"]
mod pods;

use std::path::Path;
use std::time::Duration;

use agent::{Agent, SOON, run};
use pods::{
    CLIENT, HOSTILE, OTHER_USER, PORT, USER, broker, compile, lab, lab_of, says, send, unprivileged,
};
use serde::Deserialize;
use serde_json::{Value, json};
use stoq_lab::number::{NumberReceived, NumberSent};
use stoq_lab::process::Signal;
use stoq_lab::{Lab, Pod, Process, turn, wait_for};

/// Packets with which a sender says good-bye.
const FAREWELLS: u64 = 10;
/// For a sender that goes on for some seconds to end.
const END: Duration = Duration::from_secs(60);

/// What the C client prints at its end.
#[derive(Debug, Deserialize)]
struct Counts {
    packets: u64,
    bytes: u64,
    kernel_packets: u64,
    kernel_bytes: u64,
    strange: u64,
}

impl Counts {
    fn all(&self) -> u64 {
        self.packets + self.kernel_packets
    }
}

/// A program of the routed pod's.
fn start(lab: &Lab, program: &Path, mode: &[&str]) -> Process {
    let mut command = unprivileged(&lab.pod, USER, program);
    command.args(mode).arg(broker(lab));
    command.args([Pod::Routed.v4().to_string(), PORT.to_string()]);
    Process::start(&mut command).unwrap()
}

/// The bridged pod's receiver, with a session of its own.
fn neighbour(lab: &Lab) -> Process {
    let mut command = unprivileged(
        &lab.bridged,
        OTHER_USER,
        &stoq_lab::peers::binary().unwrap(),
    );
    command.args(["number-recv", "--answer", "--listen"]);
    command.arg(Pod::Bridged.targets(PORT)[0].to_string());
    command.arg("--af-xdp").arg(broker(lab));
    let process = Process::start(&mut command).unwrap();
    says(&process, "steered true");
    process
}

#[test]
fn the_c_client_gets_all_that_does_not_go_by_the_kernel() {
    let Some(_turn) = turn("the_c_client_gets_all_that_does_not_go_by_the_kernel") else {
        return;
    };
    for (mtu, frame_size) in [(1500, "frame_size=2048"), (3000, "frame_size=4096")] {
        let lab = lab_of(mtu);
        let agent = Agent::spawn(&lab, &mut run(&lab));
        agent.wait_mode("Native");
        let client = start(&lab, &compile(&lab, CLIENT), &[]);
        let granted = client.line(SOON).unwrap();
        assert!(granted.contains(frame_size), "{granted}");
        says(&client, "steered true");
        let sent: NumberSent = send(&lab, Pod::Routed, 20_000, 3.0).report(END).unwrap();
        let all = sent.sent + FAREWELLS;
        let seen = || {
            let seen = agent
                .scrape()
                .ok()?
                .sum("stoq_packets_total", &["direction=\"in\""]);
            (seen == all as f64).then_some(())
        };
        wait_for("all packets", SOON, seen).unwrap();
        let counts: Counts = client.stop(SOON).unwrap();
        assert_eq!((counts.all(), counts.strange), (all, 0), "{counts:?}");
        // The first of a flow goes to the kernel, and one of every second.
        assert!(counts.packets > all * 9 / 10, "{counts:?}");
        // Ethernet, IPv4 and UDP headers.
        let payload = counts.kernel_bytes / counts.kernel_packets;
        assert_eq!(counts.bytes, counts.packets * (42 + payload), "{counts:?}");
        // Relays are looked at once a second. Besides, a new device says a few words of its own.
        let relayed = || {
            let metrics = agent.scrape().ok()?;
            let more = metrics.sum("stoq_afxdp_packets_total", &[]) - counts.packets as f64;
            (0.0..20.0).contains(&more).then_some(metrics)
        };
        let metrics = wait_for("the relay's count", SOON, relayed).unwrap();
        assert_eq!(metrics.sum("stoq_afxdp_dropped_total", &[]), 0.0);
    }
}

/// The agent's death in the midst of packets, a stop of the client itself, and a wrong user.
#[test]
fn the_c_client_resumes_recovers_and_is_told_why_not() {
    let Some(_turn) = turn("the_c_client_resumes_recovers_and_is_told_why_not") else {
        return;
    };
    let lab = lab();
    let program = compile(&lab, CLIENT);
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let client = start(&lab, &program, &[]);
    says(&client, "steered true");
    let sender = send(&lab, Pod::Routed, 5_000, 4.0);
    agent.kill();
    says(&client, "cut");
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    says(&client, "resumed");
    says(&client, "steered true");
    let mut sent = sender.report::<NumberSent>(END).unwrap().sent + FAREWELLS;

    let sender = send(&lab, Pod::Routed, 20_000, 6.0);
    // A flow that is not answered yet would not be steered.
    more(&agent, 20_000.0);
    client.signal(Signal::STOP).unwrap();
    let stuck = || agent.log().contains("takes no frames").then_some(());
    wait_for("the agent to see it", SOON, stuck).unwrap();
    client.signal(Signal::CONT).unwrap();
    says(&client, "steered false");
    says(&client, "steered true");
    sent += sender.report::<NumberSent>(END).unwrap().sent + FAREWELLS;
    let counts: Counts = client.stop(SOON).unwrap();
    // Lost is what came between its last free frame and the agent's second look, and, of what the
    // kernel kept for it meanwhile, what its UDP socket had no room for.
    let settled = agent.settled().sum("stoq_afxdp_dropped_total", &[]);
    assert!(settled > 0.0, "{counts:?}");
    assert!(
        (sent / 4..=sent).contains(&counts.all()),
        "{sent} {counts:?}"
    );

    let mut wrong = unprivileged(&lab.pod, OTHER_USER, &program);
    wrong.arg(broker(&lab));
    wrong.args([Pod::Routed.v4().to_string(), PORT.to_string()]);
    let wrong = Process::start(&mut wrong).unwrap();
    says(&wrong, "refused 4 NotYours: user 65533");
    assert_eq!(wrong.wait(SOON).unwrap().code(), Some(3));
}

/// What each attempt of the hostile pod comes to.
fn refusals() -> Value {
    json!({
        "bind_elsewhere": "EBUSY",
        "bind_another_queue": "EBUSY",
        "bind_zero_copy": "EBUSY",
        "new_socket": "EPERM",
        "tx_ring": "EBUSY",
        "rx_ring": "EBUSY",
        "fill_ring": "EBUSY",
        "completion_ring": "EBUSY",
        "register_umem": "EBUSY",
        "send": "ENOBUFS",
        "grow": "EPERM",
        "grow_by_writing": "EPERM",
        "shrink": "EPERM",
        "seal": "EPERM",
        // Its own mapping becomes another memory than the kernel's, which is no harm but its own.
        "punch": "ok",
        "touch_beyond": "BUS",
        "node_namespace": "EPERM",
        // The socket is of the node's namespace, and SIOCGIFCONF asks nobody.
        "node_interfaces": "ok",
    })
}

#[test]
fn a_hostile_pod_harms_itself_alone() {
    let Some(_turn) = turn("a_hostile_pod_harms_itself_alone") else {
        return;
    };
    let lab = lab();
    let hostile = compile(&lab, HOSTILE);
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let neighbour = neighbour(&lab);
    let honest = send(&lab, Pod::Bridged, 5_000, 20.0);
    let flood = send(&lab, Pod::Routed, 5_000, 20.0);

    let tried: Value = start(&lab, &hostile, &["attempts"]).report(SOON).unwrap();
    assert_eq!(tried, refusals());

    let garbage = start(&lab, &hostile, &["garbage"]);
    says(&garbage, "steered true");
    let rounds: Value = garbage.report(SOON).unwrap();
    assert!(rounds["rounds"].as_u64() > Some(1000), "{rounds}");

    let starving = start(&lab, &hostile, &["starve"]);
    says(&starving, "steered true");
    says(&starving, "steered false");
    let of = |metric: &str| {
        agent
            .scrape()
            .unwrap()
            .sum(metric, &["transport=\"routed\""])
    };
    let dropped = || of("stoq_afxdp_dropped_total");
    more(&agent, 5_000.0);
    let before = dropped();
    assert!(before > 0.0, "{}", agent.log());
    more(&agent, 5_000.0);
    assert_eq!(dropped(), before, "steered all the same");
    let starved: Value = starving.stop(SOON).unwrap();
    assert!(
        starved["kernel_packets"].as_u64() > Some(9_000),
        "{starved}"
    );

    flood.report::<NumberSent>(END).unwrap();
    let sent: NumberSent = honest.report(END).unwrap();
    let received: NumberReceived = neighbour.stop(SOON).unwrap();
    let [stream] = &received.streams[..] else {
        panic!("{received:?}");
    };
    let counts = (stream.received, stream.lost, stream.duplicated);
    assert_eq!(counts, (sent.sent, 0, 0), "{received:?}");
    assert_eq!(received.foreign, 0, "{received:?}");
    assert!(received.by_af_xdp > sent.sent * 9 / 10, "{received:?}");
    assert_eq!(received.story.len(), 2, "{received:?}");
}

/// Waits until so many more packets have come for the routed pod.
fn more(agent: &Agent<'_>, packets: f64) {
    let labels = ["transport=\"routed\"", "direction=\"in\""];
    let come = || {
        agent
            .scrape()
            .ok()
            .map(|now| now.sum("stoq_packets_total", &labels))
    };
    let aim = come().unwrap() + packets;
    let there = || come().filter(|now| *now >= aim);
    wait_for("packets", SOON, there).unwrap();
}
