//! What this process could do with eBPF, found by trying.

use std::path::Path;
use std::sync::OnceLock;

use stoq_ebpf::capability::{self, State};

use crate::{EbpfStatus, Gate, GateState};

/// Tries everything, once for each process. Takes a moment, and blocks meanwhile.
pub(crate) fn probe() -> &'static EbpfStatus {
    static FOUND: OnceLock<EbpfStatus> = OnceLock::new();
    FOUND.get_or_init(try_all)
}

fn try_all() -> EbpfStatus {
    let found = capability::probe(Path::new("/sys/fs/bpf")).gates;
    let gates: Vec<Gate> = { found.iter() }
        .map(|gate| Gate {
            name: gate.name.to_owned(),
            state: state(&gate.state),
        })
        .collect();
    let open = |name| {
        let mut named = gates.iter().filter(|gate| gate.name == name);
        named.any(|gate| gate.state == GateState::Available)
    };
    EbpfStatus {
        xdp_available: open("xdp-native") || open("xdp-generic"),
        af_xdp_available: open("af-xdp"),
        gates,
    }
}

fn state(state: &State) -> GateState {
    match state {
        State::Available => GateState::Available,
        State::Unavailable { reason, message } => GateState::Unavailable {
            reason: reason.to_string(),
            message: message.clone(),
        },
        State::Unknown { reason, message } => GateState::Unknown {
            reason: reason.to_string(),
            message: message.clone(),
        },
    }
}
