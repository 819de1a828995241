//! What the command line prints of a node.

mod gates;
mod status;
mod table;

use serde::Serialize;

use crate::status::{GateStatus, Status};

/// How to print it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For a person; without colours, so it can be piped and pasted.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// What the agent says of itself.
pub fn show_status(status: &Status, output: Output) -> String {
    match output {
        Output::Table => status::show(status),
        Output::Json => json(status),
        Output::Yaml => yaml(status),
    }
}

/// What the node can do.
pub fn show_gates(gates: &[GateStatus], output: Output) -> String {
    match output {
        Output::Table => gates::show(gates),
        Output::Json => json(&gates),
        Output::Yaml => yaml(&gates),
    }
}

/// The status is plain text and numbers, which both formats take.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value)
        .map_or_else(|error| format!("{error}\n"), |text| text + "\n")
}

fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|error| format!("{error}\n"))
}

#[cfg(test)]
mod tests;
