//! The tables at the end.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::outcome::{DROPPED, Outcome, WOULD_DROP};
use super::show::{bits, count, rate, seconds};

/// One line for each run.
pub(super) fn results(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "\n{:<14} {:>13} {:>9} {:>9} {:>10} {:>11} {:>10} {:>9}\n",
        "run", "goodput", "answers/s", "p99", "offered", "reached pod", "CPU node", "CPU pod"
    );
    for outcome in outcomes {
        let share = |cpu_s: f64| format!("{:.0} %", 100.0 * cpu_s / outcome.seconds);
        let _ = writeln!(
            text,
            "{:<14} {:>13} {:>9.0} {:>9} {:>10} {:>11} {:>10} {:>9}",
            outcome.scene.name,
            bits(outcome.goodput_bps),
            outcome.requests_per_s,
            seconds(outcome.p99_s),
            rate(outcome.offered_pps()),
            rate(outcome.delivered_pps),
            share(outcome.node_cpu_s),
            share(outcome.pod_cpu_s),
        );
    }
    text + "\
        goodput: response bits that reached the clients; p99: of the answered requests alone;\n\
        reached pod: packets at its interface, the clients' included; CPU in percent of one core:\n\
        node is the agent and all soft interrupts (packet work, some of it the flood's own), pod the\n\
        QUIC server.\n"
}

/// One line for each place and reason, one column for each flooded run.
pub(super) fn drops(outcomes: &[Outcome]) -> String {
    let flooded: Vec<&Outcome> = outcomes.iter().filter(|o| o.scene.flooded).collect();
    let mut text = format!("\n{:<42}", "packets dropped: where, and why");
    for outcome in &flooded {
        let _ = write!(text, "{:>14}", outcome.scene.name);
    }
    counts(
        &mut text,
        &flooded,
        "wire          the uplink's ring is full",
        |run| run.lost,
    );
    for (hook, place) in [("uplink", "uplink"), ("pod", "pod interface")] {
        lines(&mut text, &flooded, DROPPED, Some(hook), place);
    }
    counts(
        &mut text,
        &flooded,
        "pod socket    full, the server is too slow",
        |run| run.refused,
    );
    lines(&mut text, &flooded, WOULD_DROP, None, "would drop");
    text.push('\n');
    text
}

fn counts(text: &mut String, runs: &[&Outcome], about: &str, of: fn(&Outcome) -> u64) {
    let _ = write!(text, "\n{about:<42}");
    for run in runs {
        let _ = write!(text, "{:>14}", count(of(run)));
    }
}

fn lines(text: &mut String, runs: &[&Outcome], metric: &str, hook: Option<&str>, place: &str) {
    let columns: Vec<_> = runs
        .iter()
        .map(|run| run.metrics.reasons(metric, hook))
        .collect();
    let reasons: BTreeSet<&String> = columns.iter().flat_map(|column| column.keys()).collect();
    for reason in reasons {
        let _ = write!(text, "\n{:<14}{:<28}", place, reason);
        for column in &columns {
            let packets = column
                .get(reason)
                .map_or("-".to_owned(), |packets| count(*packets));
            let _ = write!(text, "{packets:>14}");
        }
    }
}
