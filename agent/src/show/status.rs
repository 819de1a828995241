use super::table::table;
use crate::status::{
    AfXdpStatus, AttachedStatus, InterfaceStatus, PodStatus, Status, TransportStatus,
};

pub(super) fn show(status: &Status) -> String {
    let parts = [
        head(status),
        section("TRANSPORTS", &transports(status)),
        section("PODS", &pods(status)),
        section("INTERFACES", &interfaces(status)),
        section("PROBLEMS", &problems(status)),
    ];
    parts.join("\n")
}

fn head(status: &Status) -> String {
    let open = status.gates.iter().filter(|gate| gate.state == "Available");
    format!(
        "stoq-agent {} on Linux {}\n{} of {} capabilities available; `stoq-agent probe` says which\n",
        status.agent_version,
        status.kernel,
        open.count(),
        status.gates.len(),
    )
}

fn section(title: &str, body: &str) -> String {
    let body = if body.is_empty() { "none\n" } else { body };
    format!("{title}\n{body}")
}

fn transports(status: &Status) -> String {
    let rows: Vec<_> = status.transports.iter().map(transport).collect();
    unless_empty(
        &rows,
        [
            "TRANSPORT",
            "STATE",
            "MODE",
            "REASON",
            "PODS",
            "AF_XDP",
            "MESSAGE",
        ],
    )
}

fn transport(one: &TransportStatus) -> [String; 7] {
    [
        full_name(one),
        state(one).to_owned(),
        one.mode.clone(),
        one.reason.clone(),
        one.pods.len().to_string(),
        af_xdp(&one.af_xdp),
        one.message.clone(),
    ]
}

/// Sockets in use of those there are; a dash where none could be had.
fn af_xdp(status: &AfXdpStatus) -> String {
    if status.relays == 0 && !status.message.is_empty() {
        return "-".to_owned();
    }
    format!("{}/{}", status.steered, status.relays)
}

fn full_name(transport: &TransportStatus) -> String {
    format!("{}/{}", transport.namespace, transport.name)
}

/// The worst that is true of it.
fn state(transport: &TransportStatus) -> &'static str {
    match (transport.accepted, transport.ready, transport.degraded) {
        (false, ..) => "Refused",
        (_, false, _) => "NotReady",
        (.., true) => "Degraded",
        _ => "Ready",
    }
}

fn pods(status: &Status) -> String {
    let rows: Vec<_> = status
        .transports
        .iter()
        .flat_map(|transport| transport.pods.iter().map(|one| pod(transport, one)))
        .collect();
    unless_empty(
        &rows,
        ["POD", "TRANSPORT", "ADDRESSES", "GUARDED AT", "MESSAGE"],
    )
}

fn pod(transport: &TransportStatus, one: &PodStatus) -> [String; 5] {
    let place = match one.place.as_str() {
        "" => "nowhere".to_owned(),
        place => format!("{} ({place})", one.interface),
    };
    [
        one.name.clone(),
        full_name(transport),
        one.ips.join(", "),
        place,
        one.message.clone(),
    ]
}

fn interfaces(status: &Status) -> String {
    let rows: Vec<_> = status.interfaces.iter().map(interface).collect();
    unless_empty(
        &rows,
        ["INTERFACE", "ROLE", "MTU", "PROGRAMS", "REASON", "MESSAGE"],
    )
}

fn interface(one: &InterfaceStatus) -> [String; 6] {
    let programs: Vec<_> = one.attached.iter().map(program).collect();
    [
        one.name.clone(),
        one.role.clone(),
        one.mtu.to_string(),
        programs.join(", "),
        one.reason.clone(),
        one.message.clone(),
    ]
}

fn program(one: &AttachedStatus) -> String {
    format!(
        "{} ({} {}, id {})",
        one.program, one.hook, one.mode, one.program_id
    )
}

fn problems(status: &Status) -> String {
    let lines = status.problems.iter();
    lines.map(|problem| format!("- {problem}\n")).collect()
}

fn unless_empty<const N: usize>(rows: &[[String; N]], heads: [&str; N]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    table(heads, rows)
}
