use std::io;
use std::path::{Path, PathBuf};

use crate::sys::{KernelError, map, pin};

/// The pinned maps could not be listed or opened.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The directory cannot be read.
    #[error("list {path}: {source}")]
    List {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A pin cannot be opened.
    #[error("open {path}: {source}")]
    Open {
        /// The pin.
        path: PathBuf,
        /// The kernel's answer.
        source: KernelError,
    },
}

/// Bytes of kernel memory the maps pinned in this directory take. A map the kernel tells nothing of counts as none.
pub fn memory(maps: &Path) -> Result<u64, MemoryError> {
    let list = |source| MemoryError::List {
        path: maps.to_owned(),
        source,
    };
    let entries: Result<Vec<_>, _> = std::fs::read_dir(maps).map_err(list)?.collect();
    let pins = entries.map_err(list)?.into_iter().map(|entry| entry.path());
    pins.map(of_pin).sum()
}

fn of_pin(path: PathBuf) -> Result<u64, MemoryError> {
    let map = pin::open(&path).map_err(|source| MemoryError::Open { path, source })?;
    Ok(map::memory(map).unwrap_or(0))
}
