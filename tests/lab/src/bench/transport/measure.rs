//! The numbers of one measurement.

use super::cell::Cell;
use crate::transport::Work;

/// One number: its name, its unit, its value.
pub(super) type Number = (&'static str, &'static str, f64);

/// All that this work has.
pub(super) fn numbers(cell: &Cell, work: Work) -> Vec<Number> {
    let mut numbers = Vec::new();
    if work != Work::Bulk {
        numbers.extend(of_requests(cell));
    }
    if work != Work::Rpc {
        numbers.extend(in_bulk(cell));
    }
    numbers.extend(of_both(cell));
    numbers
}

fn of_requests(cell: &Cell) -> [Number; 3] {
    let times = cell.report.requests;
    let seconds = cell.report.client.time as f64 / 1e9;
    [
        ("p50", "us", times.p50),
        ("p99", "us", times.p99),
        ("rate", "1/s", times.samples as f64 / seconds),
    ]
}

fn in_bulk(cell: &Cell) -> Vec<Number> {
    let (server, rtt) = (&cell.report.server, cell.report.rtt);
    let per_gbps = 100.0 * server.cpu_share() / server.gbps();
    let mut numbers = vec![
        ("goodput", "Gbit/s", server.gbps()),
        ("cpu_per_gbps", "%", per_gbps),
    ];
    // Not every library tells.
    numbers.extend((rtt.samples > 0).then_some(("rtt", "us", rtt.p50)));
    numbers
}

fn of_both(cell: &Cell) -> Vec<Number> {
    let (client, server) = (&cell.report.client, &cell.report.server);
    let percent = |share: f64| 100.0 * share;
    let mut numbers = vec![
        ("server_cpu", "%", percent(server.cpu_share())),
        ("server_softirq", "%", percent(server.softirq_share())),
        ("client_cpu", "%", percent(client.cpu_share())),
        ("client_softirq", "%", percent(client.softirq_share())),
        ("dropped_wire", "packets", cell.wire_drops as f64),
        ("dropped_udp_buffer", "packets", server.udp_full as f64),
        ("dropped_no_frame", "packets", server.no_frame as f64),
        ("dropped_ring_full", "packets", server.ring_full as f64),
        ("dropped_other", "packets", server.dropped as f64),
        (
            "dropped_receiver",
            "packets",
            server.receiver_drops() as f64,
        ),
    ];
    if let Some(path) = cell.report.path {
        numbers.push(("datagram", "bytes", path.datagram.into()));
        numbers.push(("lost", "packets", path.lost as f64));
    }
    let all = server.by_udp + server.by_af_xdp;
    if all > 0 {
        let share = server.by_af_xdp as f64 / all as f64;
        numbers.push(("by_af_xdp", "%", percent(share)));
    }
    numbers
}

/// For people, while it goes on.
pub(super) fn told(cell: &Cell, work: Work) -> String {
    let numbers = numbers(cell, work);
    let chosen = [
        "p50",
        "p99",
        "goodput",
        "rtt",
        "server_cpu",
        "client_cpu",
        "datagram",
        "lost",
        "dropped_receiver",
        "by_af_xdp",
    ];
    let chosen = numbers.iter().filter(|(name, ..)| chosen.contains(name));
    let told = chosen.map(|(name, unit, value)| {
        let digits = if *value >= 20.0 { 0 } else { 2 };
        format!("{name} {value:.digits$} {unit}")
    });
    told.collect::<Vec<_>>().join(", ")
}
