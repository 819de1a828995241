//! The figures STOQ promises on one machine: how fast it drops, what it costs what it lets pass.
//!
//! Each is a ratio or a difference of things measured in turn within one round, so that what else
//! the machine does meets both.

mod accept;
mod bulk;
mod cli;
mod cpu;
mod drop;
mod figure;
mod firewall;
mod frame;
mod machine;
mod node;
mod pod;
mod policy;
mod receive;
mod report;
mod selection;
mod transport;

pub use cli::Cli;
