//! The cluster a person has up: what one command tells the next.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{Cluster, ControlPlane, Node, kube_binary, machine};

const CLIENT: &str = "client";

/// Told by the keeper as its first line, and kept in `target/cluster/session.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) kubeconfig: PathBuf,
    /// Process id of each node's PID 1, by its name.
    pub(super) nodes: BTreeMap<String, u32>,
    /// The client's network namespace, where there is one.
    pub(super) client: Option<PathBuf>,
}

impl Session {
    /// That of a control plane alone.
    pub(super) fn of(control_plane: &ControlPlane) -> Self {
        Self {
            kubeconfig: control_plane.kubeconfig().to_owned(),
            nodes: BTreeMap::new(),
            client: None,
        }
    }

    /// That of a cluster with nodes.
    pub(super) fn of_cluster(cluster: &Cluster) -> Result<Self> {
        let pid = |node: &Node| Ok((node.name().to_owned(), node.pid()?));
        Ok(Self {
            nodes: cluster.nodes().iter().map(pid).collect::<Result<_>>()?,
            client: Some(cluster.client.path()),
            ..Self::of(&cluster.control_plane)
        })
    }

    /// A command on a node, or in the client's network namespace.
    pub(super) fn command(&self, machine: &str, program: &str) -> Result<Command> {
        if let (CLIENT, Some(netns)) = (machine, &self.client) {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", netns.display()));
            command.arg("--").arg(program);
            return Ok(command);
        }
        let names: Vec<_> = self.nodes.keys().map(String::as_str).collect();
        let pid = self.nodes.get(machine);
        let pid =
            pid.with_context(|| format!("no {machine}; there is {CLIENT}, {}", names.join(", ")))?;
        Ok(machine::enter(*pid, program))
    }

    /// The one that is up.
    pub(super) fn read() -> Result<Self> {
        keeper().context("no cluster is up: make cluster")?;
        let text = fs::read_to_string(file("session.json")).context("the cluster is not up yet")?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(super) fn write(&self) -> Result<()> {
        fs::write(file("session.json"), serde_json::to_string(self)?)?;
        Ok(())
    }
}

/// A file of the session.
pub(super) fn file(name: &str) -> PathBuf {
    directory().join(name)
}

pub(super) fn directory() -> PathBuf {
    kube_binary::target_directory().join("cluster")
}

/// Process id of the keeper, if it lives.
pub(super) fn keeper() -> Option<u32> {
    let pid = fs::read_to_string(file("pid")).ok()?.trim().parse().ok()?;
    is_keeper(pid).then_some(pid)
}

/// Whether a process is a keeper: ids are used again.
fn is_keeper(pid: u32) -> bool {
    let line = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cmdline"));
    line.is_ok_and(|line| line.split('\0').nth(1) == Some("keep"))
}
