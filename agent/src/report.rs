//! From the plan and what became of it to the [`Status`].

mod interface;
mod pod;
mod rungs;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::BTreeMap;

use stoq_ebpf::capability::{Gate, Reason, State};
use stoq_ebpf::tables::Applied;

use crate::broker::Offers;
use crate::hooks::{Held, Slot};
use crate::plan::Plan;
use crate::status::{GateStatus, Status};

/// What is held at every slot, by interface index.
pub type HeldSlots = BTreeMap<(u32, Slot), Held>;

/// What a pass came to.
pub struct Pass<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the maps hold of it.
    pub applied: &'a Applied,
    /// What pods may have of AF_XDP.
    pub offers: &'a Offers,
    /// What the hooks hold of it.
    pub held: &'a HeldSlots,
    /// Why it failed as a whole, if it did.
    pub failed: Option<(Reason, String)>,
    /// What is wrong with the input.
    pub problems: Vec<String>,
}

/// The status after a pass.
pub fn report(pass: &Pass<'_>, gates: &[GateStatus], kernel: &str) -> Status {
    let transports = pass.plan.transports.iter();
    Status {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        kernel: kernel.into(),
        gates: gates.to_vec(),
        interfaces: interface::all(pass),
        transports: transports.map(|one| transport::status(pass, one)).collect(),
        problems: problems(pass),
        paused: pass.plan.paused,
        node_generation: pass.plan.node_generation,
        ..Status::default()
    }
}

/// A gate of the node, or of the interface of this name, for the status.
pub fn gate_status(gate: &Gate, interface: &str) -> GateStatus {
    let (state, reason, message) = match &gate.state {
        State::Available => ("Available", String::new(), String::new()),
        State::Unavailable { reason, message } => {
            ("Unavailable", reason.to_string(), message.clone())
        }
        State::Unknown { reason, message } => ("Unknown", reason.to_string(), message.clone()),
    };
    let (name, interface) = (gate.name.to_owned(), interface.to_owned());
    GateStatus {
        name,
        interface,
        state: state.into(),
        reason,
        message,
    }
}

/// Of the input first, then of the node, then of the pass, then of the maps.
fn problems(pass: &Pass<'_>) -> Vec<String> {
    let missing = pass.plan.missing_uplinks.iter();
    let missing = missing.map(|name| format!("uplink {name}: no such interface"));
    let failed = pass.failed.iter();
    let failed = failed.map(|(reason, words)| format!("{reason}: {words}"));
    let refused = pass.applied.transports.iter().flat_map(|one| {
        let refusals = one.refusals.iter();
        refusals.map(|refusal| format!("transport {}: {refusal}", one.name))
    });
    let input = pass.problems.iter().cloned();
    input.chain(missing).chain(failed).chain(refused).collect()
}
