//! The transport of the demonstration.

use serde_json::{Value, json};

use super::scene::Stoq;
use crate::flood::DENIED;
use crate::transport_yaml;

/// The service's port.
pub(super) const PORT: u16 = 4433;

/// The StoqTransport of a run. The clients are one source and need some thousand packets a
/// second; what the server has to spend on strangers is 500 handshakes a second.
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
            "unestablished": {"packetsPerSecond": 5000, "initialsPerSecond": 500},
        },
    })
}
