//! `demo.svg`: goodput and packets over time, with flood and STOQ marked.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::plot::{Panel, round_up, steps};
use super::record;
use super::session::{Sample, Session};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 936.0;
const GOODPUT: [f64; 2] = [146.0, 286.0];
const PACKETS: [f64; 2] = [350.0, 490.0];

const STYLE: &str = "\
    text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;fill:#24292f}\
    .title{font-size:19px;font-weight:bold}.note{font-size:13px;fill:#57606a}\
    .head{font-size:14px;font-weight:bold}.tick{font-size:12px;fill:#57606a}\
    .band{font-size:13px;fill:#fff;font-weight:bold}.grid{stroke:#d8dee4;fill:none}\
    .mark{stroke:#57606a;stroke-dasharray:4 4;fill:none}\
    .goodput{fill:#54aeff;fill-opacity:.35;stroke:#0969da;stroke-width:2}\
    .dropped{fill:#4ac26b;fill-opacity:.35;stroke:#1a7f37;stroke-width:2}\
    .offered{fill:none;stroke:#cf222e;stroke-width:2;stroke-dasharray:6 4}\
    .pod{fill:none;stroke:#0969da;stroke-width:2}";

/// Writes the file.
pub(super) fn write(directory: &Path, session: &Session) -> Result<()> {
    let path = directory.join("demo.svg");
    fs::write(&path, draw(session, &record::kernel())).with_context(|| path.display().to_string())
}

fn draw(session: &Session, kernel: &str) -> String {
    let goodput = goodput(session);
    let packets = packets(session);
    let body = [
        heading(kernel),
        bands(session, &goodput),
        goodput_panel(session, &goodput),
        packets_panel(session, &packets),
        marks(session, &goodput),
        seconds_axis(&packets),
    ];
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
        body.concat()
    )
}

fn panel(session: &Session, [top, bottom]: [f64; 2], most: f64) -> Panel {
    Panel {
        left: LEFT,
        right: RIGHT,
        top,
        bottom,
        seconds: session.seconds.len() as f64,
        most: round_up(most),
    }
}

fn goodput(session: &Session) -> Panel {
    let rates = session
        .seconds
        .iter()
        .map(|second| second.bytes as f64 * 8.0 / 1e6);
    panel(session, GOODPUT, rates.fold(1.0, f64::max))
}

fn packets(session: &Session) -> Panel {
    let all = [offered, delivered, dropped].map(|count| rates(session, count));
    let rates = all.iter().flatten().map(|(_, _, rate)| *rate);
    panel(session, PACKETS, rates.fold(1.0, f64::max))
}

fn heading(kernel: &str) -> String {
    let title = "A QUIC service under a flood, with STOQ and without it";
    let note = format!("make demo, one session, Linux {kernel}: as it came out");
    text("title", LEFT, 32.0, title) + &text("note", LEFT, 54.0, &note)
}

/// Two bars that show when flood and STOQ are there.
fn bands(session: &Session, panel: &Panel) -> String {
    let bar = |[from, to]: [f64; 2], y: f64, colour: &str, label: &str| {
        let (left, right) = (panel.x(from), panel.x(to));
        let width = right - left;
        format!(
            "<rect x=\"{left:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"20\" rx=\"3\" \
             fill=\"{colour}\"/>\n"
        ) + &text("band", left + 8.0, y + 15.0, label)
    };
    bar(session.flood, 70.0, "#cf222e", "flood")
        + &bar(session.stoq, 94.0, "#1a7f37", "STOQ (native XDP)")
}

fn goodput_panel(session: &Session, panel: &Panel) -> String {
    let second = |(index, second): (usize, &crate::quic::Second)| {
        let from = index as f64;
        (from, from + 1.0, second.bytes as f64 * 8.0 / 1e6)
    };
    let rates: Vec<_> = session.seconds.iter().enumerate().map(second).collect();
    let area = panel.area(&steps(&rates));
    text(
        "head",
        LEFT,
        panel.top - 12.0,
        "Goodput of the QUIC clients, Mbit/s",
    ) + &panel.grid(|value| format!("{value:.0}"))
        + &format!("<path class=\"goodput\" d=\"{area}\"/>\n")
}

fn packets_panel(session: &Session, panel: &Panel) -> String {
    let line = |count| panel.line(&steps(&rates(session, count)));
    let drops = panel.area(&steps(&rates(session, dropped)));
    text("head", LEFT, panel.top - 12.0, "Packets per second")
        + &legend(panel.top - 16.0)
        + &panel.grid(thousands)
        + &format!("<path class=\"dropped\" d=\"{drops}\"/>\n")
        + &format!("<path class=\"pod\" d=\"{}\"/>\n", line(delivered))
        + &format!("<path class=\"offered\" d=\"{}\"/>\n", line(offered))
}

fn legend(y: f64) -> String {
    let entries = [
        ("offered", 300.0, "sent by the flood"),
        ("dropped", 480.0, "dropped by STOQ"),
        ("pod", 650.0, "reached the pod (clients included)"),
    ];
    let mut all = String::new();
    for (class, x, label) in entries {
        let _ = writeln!(all, "<path class=\"{class}\" d=\"M{x} {y}h28\"/>");
        all += &text("note", x + 36.0, y + 4.0, label);
    }
    all
}

/// Vertical lines where something starts or ends.
fn marks(session: &Session, panel: &Panel) -> String {
    let mut all = String::new();
    for ([from, to], top) in [(session.flood, 70.0), (session.stoq, 94.0)] {
        for x in [panel.x(from), panel.x(to)] {
            let _ = writeln!(
                all,
                "<path class=\"mark\" d=\"M{x:.1} {top}V{}\"/>",
                PACKETS[1]
            );
        }
    }
    all
}

fn seconds_axis(panel: &Panel) -> String {
    let mut all = String::new();
    for second in (0..=panel.seconds as u32).step_by(5) {
        let (x, y) = (panel.x(f64::from(second)), panel.bottom + 20.0);
        let _ = writeln!(
            all,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{second} s</text>"
        );
    }
    all + &text(
        "note",
        LEFT,
        HEIGHT - 20.0,
        "seconds since the clients began; marks: flood and STOQ start and end",
    )
}

fn text(class: &str, x: f64, y: f64, words: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>\n")
}

fn thousands(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value => format!("{:.0} k", value / 1e3),
    }
}

fn offered(sample: &Sample) -> u64 {
    sample.offered
}

fn delivered(sample: &Sample) -> u64 {
    sample.delivered
}

fn dropped(sample: &Sample) -> u64 {
    sample.dropped
}

/// From, to and rate between each two samples; a count that starts over counts nothing.
fn rates(session: &Session, count: fn(&Sample) -> u64) -> Vec<(f64, f64, f64)> {
    let between = |pair: &[Sample]| {
        let (from, to) = (pair[0].at, pair[1].at);
        let packets = count(&pair[1]).saturating_sub(count(&pair[0])) as f64;
        (from, to, packets / (to - from))
    };
    session.samples.windows(2).map(between).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_starts_over_counts_nothing() {
        let sample = |at, dropped| Sample {
            at,
            offered: 0,
            delivered: 0,
            dropped,
        };
        let session = Session {
            seconds: Vec::new(),
            samples: vec![sample(0.0, 10), sample(0.5, 20), sample(1.0, 0)],
            flood: [0.0; 2],
            stoq: [0.0; 2],
        };
        assert_eq!(
            rates(&session, dropped),
            [(0.0, 0.5, 20.0), (0.5, 1.0, 0.0)]
        );
    }
}
