//! The transport of the demonstration.

use serde_json::{Value, json};

use super::scene::Stoq;
use crate::flood::DENIED;
use crate::transport_yaml;

/// The service's port.
pub(super) const PORT: u16 = 4433;

/// Packets a second of all strangers together: plenty for ten clients to become known.
pub(super) const STRANGERS: u64 = 1000;
/// Initials among them: for each the server begins a handshake, and repeats its answers to a source
/// that is not there.
pub(super) const INITIALS: u64 = 100;

/// The StoqTransport of a run. The clients are one source and need some thousand packets a second.
pub(super) fn transport(stoq: Stoq) -> String {
    let xdp = if stoq == Stoq::Tcx {
        "Disabled"
    } else {
        "Prefer"
    };
    let spec = json!({"acceleration": {"xdp": xdp}, "filter": filter(stoq)});
    transport_yaml("edge", PORT, "QUIC", &spec)
}

fn filter(stoq: Stoq) -> Value {
    let (network, prefix) = DENIED;
    json!({
        "mode": if stoq == Stoq::Monitor { "Monitor" } else { "Enforce" },
        "deny": [format!("{network}/{prefix}")],
        "limits": {
            "perSource": {"packetsPerSecond": 40_000, "initialsPerSecond": 200},
            "unestablished": {"packetsPerSecond": STRANGERS, "initialsPerSecond": INITIALS},
        },
    })
}
