//! What can be asked of the demonstration.

use std::path::PathBuf;

use clap::Parser;

/// Floods a QUIC service in network namespaces: without STOQ, and with it at every rung.
///
/// Needs root. Touches nothing outside namespaces of its own, and removes them at its end, also
/// on Ctrl-C. Exits with 0 if every claim it prints holds.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo")]
pub struct Options {
    /// Seconds of each flood.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=15))]
    pub seconds: u64,
    /// Packets per second of the flood.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    pub rate: u64,
    /// Directory for demo.json and demo.svg.
    #[arg(long, default_value = "target")]
    pub out: PathBuf,
}
