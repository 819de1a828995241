//! A BPF file system of one lab's own, so that agents of concurrent labs do not share pins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A mounted bpffs; unmounting it drops every pin inside.
#[derive(Debug)]
pub struct Bpffs {
    path: PathBuf,
}

impl Bpffs {
    /// Makes the directory `path` and mounts a bpffs on it.
    pub fn mount(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        mount("bpf", &path, "bpf", MountFlags::empty(), None)
            .with_context(|| format!("bpffs on {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Unmounts and removes the directory; what cannot be removed is left to the next sweep.
pub(crate) fn remove(path: &Path) {
    let _ = unmount(path, UnmountFlags::DETACH);
    let _ = fs::remove_dir(path);
}
