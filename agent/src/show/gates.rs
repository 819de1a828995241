use super::table::table;
use crate::status::GateStatus;

pub(super) fn show(gates: &[GateStatus]) -> String {
    let rows: Vec<_> = gates.iter().map(row).collect();
    table(["GATE", "STATE", "REASON", "MESSAGE"], &rows)
}

fn row(gate: &GateStatus) -> [String; 4] {
    let name = if gate.interface.is_empty() {
        gate.name.clone()
    } else {
        format!("{} on {}", gate.name, gate.interface)
    };
    [
        name,
        gate.state.clone(),
        gate.reason.clone(),
        gate.message.clone(),
    ]
}
