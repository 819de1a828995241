//! Starts the `lab` binary's peers inside a lab.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::netns::Netns;
use crate::pod::Pod;
use crate::process::Process;

const READY: Duration = Duration::from_secs(10);

impl Lab {
    /// The QUIC server of a pod on all its addresses, ready; `options` as for `lab serve`.
    /// Stop it with [`Process::stop`] to get its [`ServeReport`](crate::quic::ServeReport).
    pub fn serve(&self, pod: Pod, port: u16, options: &[&str]) -> Result<Process> {
        let mut command = peer(self.netns(pod), "serve")?;
        command.arg("--listen").arg(any(port).to_string());
        command.arg("--cert").arg(&self.identity().cert);
        command.arg("--key").arg(&self.identity().key);
        started(command.args(options))
    }

    /// A QUIC load from the client; `options` as for `lab load`. Its
    /// [`LoadReport`](crate::quic::LoadReport) comes with [`Process::report`].
    pub fn load(&self, target: SocketAddr, options: &[&str]) -> Result<Process> {
        let mut command = peer(&self.client, "load")?;
        command.arg("--target").arg(target.to_string());
        command.arg("--ca").arg(&self.identity().ca);
        Process::start(command.args(options))
    }

    /// A receiver of numbered packets in a pod, ready; `options` as for `lab number-recv`. Its
    /// report is a [`NumberReceived`](crate::number::NumberReceived).
    pub fn number_receive(&self, pod: Pod, port: u16, options: &[&str]) -> Result<Process> {
        let mut command = peer(self.netns(pod), "number-recv")?;
        command.arg("--listen").arg(any(port).to_string());
        started(command.args(options))
    }

    /// A sender of numbered packets at the client; `options` as for `lab number-send`. Its report
    /// is a [`NumberSent`](crate::number::NumberSent).
    pub fn number_send(&self, target: SocketAddr, options: &[&str]) -> Result<Process> {
        let mut command = peer(&self.client, "number-send")?;
        command.arg("--target").arg(target.to_string());
        Process::start(command.args(options))
    }
}

/// A command of the `lab` binary, to run inside a namespace.
pub fn peer(netns: &Netns, subcommand: &str) -> Result<Command> {
    let mut command = netns.command(binary()?);
    command.arg(subcommand);
    Ok(command)
}

/// The `lab` binary: $STOQ_LAB, or the one beside this program (or one directory above, for tests).
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("STOQ_LAB") {
        return Ok(path.into());
    }
    let program = env::current_exe()?;
    let candidates = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("lab"));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .context("no lab binary: cargo build -p stoq-lab")
}

fn started(command: &mut Command) -> Result<Process> {
    let process = Process::start(command)?;
    process.line(READY)?;
    Ok(process)
}

// The IPv6 wildcard takes IPv4 too.
fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0u16; 8]), port)
}
