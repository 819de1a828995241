//! Floods a QUIC service in namespaces, without STOQ and with it: `make demo`.

use std::process::ExitCode;

use clap::Parser;
use stoq_lab::demo::{self, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "demo: needs root, for network namespaces and BPF: sudo env \"PATH=$PATH\" make demo"
        );
        return ExitCode::FAILURE;
    }
    match demo::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
