//! The `cluster` command: a cluster for a person, one per working tree.

mod image;
mod keep;
mod session;
mod up;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::{kube_binary, node, sweep};
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
    /// Run a command on a node, or in the network namespace of `client`.
    Exec {
        /// node-a, node-b... or client.
        machine: String,
        /// The command, after `--`.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Give every node the images of an archive.
    Load {
        /// As `cluster image` or `docker save` write it.
        archive: PathBuf,
    },
    /// Build an image of programs of this machine, without a registry.
    Image(image::Options),
    /// Remove what clusters that were killed have left behind.
    Sweep,
    /// Hold a cluster until SIGTERM; the first line of output tells of it.
    #[command(hide = true)]
    Keep(Shape),
}

/// What kind of cluster.
#[derive(Debug, Clone, Copy, Args)]
struct Shape {
    /// How many nodes.
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Start the control plane alone, without nodes.
    #[arg(long, conflicts_with = "nodes")]
    control_plane: bool,
}

impl Shape {
    /// The options that say the same.
    fn arguments(self) -> Vec<String> {
        if self.control_plane {
            vec!["--control-plane".to_owned()]
        } else {
            vec![format!("--nodes={}", self.nodes)]
        }
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
            Task::Exec { machine, command } => {
                let (program, arguments) = command.split_first().context("no command")?;
                let mut command = Session::read()?.command(&machine, program)?;
                return pass(command.args(arguments));
            }
            Task::Load { archive } => {
                let session = Session::read()?;
                let mut nodes = session.nodes.values();
                nodes.try_for_each(|&pid| node::load_image(pid, &archive))?;
            }
            Task::Image(options) => image::build(&options)?,
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
