//! `stoq-agent`: guards and observes UDP and QUIC on one node.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
