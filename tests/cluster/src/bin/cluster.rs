//! The `cluster` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match stoq_cluster::cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}
