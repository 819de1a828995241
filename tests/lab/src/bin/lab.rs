//! The `lab` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match stoq_lab::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
