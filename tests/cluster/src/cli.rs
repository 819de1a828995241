//! The `cluster` command: a cluster for a person, one per working tree.

mod keep;
mod session;
mod up;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::{kube_binary, sweep};
use session::Session;

/// A real Kubernetes on this machine (root). It lasts until `cluster down`.
#[derive(Debug, Parser)]
#[command(name = "cluster", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start a cluster; prints where its kubeconfig is and what to try next.
    Up(Shape),
    /// End the cluster and remove all of it.
    Down,
    /// Run kubectl as the administrator.
    Kubectl {
        /// What follows `--`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Remove what clusters that were killed have left behind.
    Sweep,
    /// Hold a cluster until SIGTERM; the first line of output tells of it.
    #[command(hide = true)]
    Keep(Shape),
}

/// What kind of cluster.
#[derive(Debug, Clone, Copy, Args)]
struct Shape {
    /// Start the control plane alone, without nodes.
    #[arg(long)]
    control_plane: bool,
}

impl Shape {
    /// The options that say the same.
    fn arguments(self) -> Vec<String> {
        let control_plane = self.control_plane.then(|| "--control-plane".to_owned());
        control_plane.into_iter().collect()
    }
}

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Task::Up(shape) => up::up(shape)?,
            Task::Down => up::down()?,
            Task::Kubectl { arguments } => {
                let kubeconfig = Session::read()?.kubeconfig;
                return pass(kube_binary::kubectl(&kubeconfig).args(arguments));
            }
            Task::Sweep => println!("{}", serde_json::to_string(&sweep::sweep())?),
            Task::Keep(shape) => keep::keep(shape)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a command on this terminal and ends as it does.
fn pass(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
