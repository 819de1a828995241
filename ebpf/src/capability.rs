//! What this machine lets us do, found by doing it: never by version.
//!
//! Devices are tried on a scratch pair in a network namespace of its own, or, where that is forbidden, on a pair in the
//! current one that is removed again.

mod af_xdp;
mod gate;
mod hooks;
mod interface;
mod machine;
mod objects;
mod reason;
mod scratch;

use std::path::Path;

use serde::Serialize;

pub use gate::{Gate, State};
pub use interface::{InterfaceReport, interface};
pub use reason::Reason;

/// Everything [`probe`] found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// One entry per gate, always the same ones in the same order.
    pub gates: Vec<Gate>,
}

impl Capabilities {
    /// The gate of this name.
    pub fn gate(&self, name: &str) -> Option<&Gate> {
        self.gates.iter().find(|gate| gate.name == name)
    }
}

/// Tries every gate. Takes well below a second, leaves nothing behind, and neither fails nor hangs.
pub fn probe(bpffs: &Path) -> Capabilities {
    let mut gates = machine::gates(bpffs);
    gates.extend(objects::gates());
    gates.extend(scratch::with_pair(hooks::NAMES, hooks::gates));
    Capabilities { gates }
}
