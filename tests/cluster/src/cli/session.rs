//! The cluster a person has up: what one command tells the next.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::kube_binary;

/// Told by the keeper as its first line, and kept in `target/cluster/session.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) kubeconfig: PathBuf,
}

impl Session {
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
