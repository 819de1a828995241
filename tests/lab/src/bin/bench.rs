//! The `bench` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match stoq_lab::bench::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
