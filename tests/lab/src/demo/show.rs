//! What the reader sees while it works and at the end.

use super::claims::Claim;
use super::offer::Offer;
use super::options::Options;
use super::outcome::Outcome;
use super::record;
use super::scene::Scene;
use super::stage::Stage;

/// Metrics worth looking at, and what they tell.
const METRICS: [(&str, &str); 6] = [
    (
        "stoq_dropped_packets_total",
        "what the guard dropped, where and why",
    ),
    (
        "stoq_packets_total",
        "what it let through, to and from the pod",
    ),
    (
        "stoq_quic_connections",
        "connections as the node sees them, without a key",
    ),
    (
        "stoq_quic_handshake_seconds_count",
        "handshakes it has timed",
    ),
    (
        "stoq_quic_rtt_seconds_count",
        "round trips it has timed, by the spin bit",
    ),
    ("stoq_effective_mode", "the rung that is in force, and why"),
];

/// Says what is about to happen.
pub(super) fn opening(stage: &Stage) {
    let cpus = stage.cpus;
    println!(
        "STOQ demonstration, Linux {}, {} CPUs",
        record::kernel(),
        cpus.count
    );
    println!("client ==wire== node --veth-- pod, in network namespaces of their own");
    println!(
        "10 QUIC clients send 1000 requests of 16 kB a second and get answers of 10 kB, 80 Mbit/s in all"
    );
    println!(
        "the flood sends {} from CPU {}: short Initials 40 %, real Initials 20 %, stray short \
         headers 20 %, one loud source 10 %, a denied network 10 %",
        rate(stage.rate() as f64),
        cpus.flood
    );
    println!("(the node's receive work runs on the flood's CPU too, as the wire is a veth pair)\n");
}

/// Announces a run.
pub(super) fn begin(scene: Scene) {
    println!("... {:<14} {}", scene.name, scene.about);
}

/// Tells in a line what came of it.
pub(super) fn end(outcome: &Outcome) {
    println!(
        "    {:<14} goodput {}, p99 {}, offered {}, reached the pod {}",
        "",
        bits(outcome.goodput_bps),
        seconds(outcome.p99_s),
        rate(outcome.offered_pps()),
        rate(outcome.delivered_pps)
    );
}

/// Announces the runs that compare the rungs.
pub(super) fn comparison(offer: &Offer) {
    println!(
        "... comparison     native and TCX again, packet for packet: at {}, which the wire carries",
        rate(offer.rate as f64)
    );
}

/// Says that a run of the comparison is made again.
pub(super) fn again(scene: Scene, missing: u64) {
    println!(
        "    {:<14} {}: {} packets lost on the wire or not sent, as the machine is busy: again",
        "",
        scene.name,
        count(missing)
    );
}

/// Announces the session for the picture.
pub(super) fn session(seconds: u64) {
    println!("... picture        {seconds} s: quiet, STOQ starts, flood, STOQ ends, flood ends");
}

/// The live metrics of the guarded run.
pub(super) fn metrics(outcomes: &[Outcome]) {
    let Some(guarded) = outcomes
        .iter()
        .find(|outcome| outcome.scene == Scene::NATIVE)
    else {
        return;
    };
    println!("\nLive metrics of flood-native (http://NODE:9465/metrics):");
    for (metric, about) in METRICS {
        println!("  # {about}");
        for line in guarded.metrics.lines(metric) {
            println!("  {line}");
        }
    }
}

/// The claims, the files, and where to go from here.
pub(super) fn closing(options: &Options, claims: &[Claim]) {
    println!();
    for claim in claims {
        println!("{}", claim.line());
    }
    let out = options.out.display();
    println!("\nwritten: {out}/demo.json, {out}/demo.svg (one session with STOQ coming and going)");
    println!(
        "next: a gentler or longer flood   cargo run --release -p stoq-lab --bin demo -- --rate 300000 --seconds 10"
    );
    println!("      what this node can do       target/release/stoq-agent probe");
    println!("      STOQ on your own service    README.md, \"On your own node\"");
    println!("      what each metric means      docs/metrics.md");
}

/// `1.25 Mpps`.
pub(super) fn rate(pps: f64) -> String {
    match pps {
        pps if pps >= 1e6 => format!("{:.2} Mpps", pps / 1e6),
        pps if pps >= 1e3 => format!("{:.1} kpps", pps / 1e3),
        pps => format!("{pps:.0} pps"),
    }
}

/// `80.0 Mbit/s`.
pub(super) fn bits(bps: f64) -> String {
    format!("{:.1} Mbit/s", bps / 1e6)
}

/// `1.2 ms`; a dash for no answers at all.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        0.0 => "-".to_owned(),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

/// `1 234 567`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!((count(0), count(999)), ("0".to_owned(), "999".to_owned()));
        assert_eq!(rate(1_250_000.0), "1.25 Mpps");
        assert_eq!(seconds(0.0123), "12.3 ms");
    }
}
