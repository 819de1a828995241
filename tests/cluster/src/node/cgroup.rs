//! A node's cgroups, in every hierarchy the host has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use stoq_lab::wait_for;

const ROOT: &str = "/sys/fs/cgroup";
const EMPTY: Duration = Duration::from_secs(5);
/// What a cgroup of the first version must be told before a process can join it.
const INHERITED: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];
/// What the kubelet needs of the second version, given on from the root downwards.
const CONTROLLERS: &str = "+cpu +cpuset +memory +pids +io";

/// A directory in each hierarchy, removed with all below it when dropped.
#[derive(Debug)]
pub(super) struct Cgroup {
    name: String,
}

impl Cgroup {
    pub(super) fn create(name: &str) -> Result<Self> {
        let name = name.to_owned();
        let cgroup = Self { name };
        for hierarchy in hierarchies() {
            cgroup.create_in(&hierarchy)?;
        }
        Ok(cgroup)
    }

    fn create_in(&self, hierarchy: &Path) -> Result<()> {
        let own = hierarchy.join(&self.name);
        fs::create_dir(&own).with_context(|| own.display().to_string())?;
        if hierarchy == Path::new(ROOT) {
            // Not every controller must be there.
            for directory in [hierarchy, &own] {
                for controller in CONTROLLERS.split(' ') {
                    let _ = fs::write(directory.join("cgroup.subtree_control"), controller);
                }
            }
            return Ok(());
        }
        for file in INHERITED.map(|name| (hierarchy.join(name), own.join(name))) {
            if let Ok(value) = fs::read(&file.0) {
                fs::write(&file.1, value).with_context(|| file.1.display().to_string())?;
            }
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes a cgroup from every hierarchy, once its processes have ended; what cannot be removed is
/// left to the next sweep.
pub(crate) fn remove(name: &str) {
    for hierarchy in hierarchies() {
        let own = hierarchy.join(name);
        let _ = wait_for("empty cgroup", EMPTY, || {
            remove_tree(&own);
            (!own.exists()).then_some(())
        });
    }
}

/// The names of all cgroups that are right below a root.
pub(crate) fn names() -> BTreeSet<String> {
    let entries = hierarchies()
        .into_iter()
        .filter_map(|hierarchy| fs::read_dir(hierarchy).ok());
    let names = entries.flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).collect()
}

/// The root of the second version alone, or those of all hierarchies of the first.
fn hierarchies() -> Vec<PathBuf> {
    if is_cgroup(Path::new(ROOT)) {
        return vec![ROOT.into()];
    }
    let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
    // A link stands for a hierarchy by another name.
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories
        .map(|entry| entry.path())
        .filter(|path| is_cgroup(path))
        .collect()
}

fn is_cgroup(path: &Path) -> bool {
    path.join("cgroup.procs").exists()
}

// The files of a cgroup go with it.
fn remove_tree(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    let _ = fs::remove_dir(path);
}
