//! What the programs of a cluster have said, kept when a test has failed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use stoq_lab::tool;

use crate::kube_binary;

/// Copies the logs of every machine of a run to `target/cluster-logs/<run>`, and tells so.
pub(crate) fn keep(run: &Path) {
    let Some(name) = run.file_name() else { return };
    let kept = kube_binary::target_directory()
        .join("cluster-logs")
        .join(name);
    match copy(run, &kept) {
        Ok(()) => eprintln!("the cluster's logs are in {}", kept.display()),
        Err(error) => eprintln!("the cluster's logs are lost: {error:#}"),
    }
}

fn copy(run: &Path, kept: &Path) -> Result<()> {
    for entry in fs::read_dir(run)?.flatten() {
        let logs = entry.path().join("log");
        if logs.is_dir() {
            fs::create_dir_all(kept)?;
            let mut command = Command::new("cp");
            command
                .arg("-r")
                .arg(logs)
                .arg(kept.join(entry.file_name()));
            tool::run(&mut command)?;
        }
    }
    Ok(())
}
