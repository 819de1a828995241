//! Removes what runs that were killed have left behind.

use std::path::Path;
use std::{env, fs};

use crate::run_name::RunName;
use crate::{bpffs, netns};

/// Removes namespaces, mounts and directories of labs whose process is gone; their names.
pub fn sweep() -> Vec<String> {
    let mut removed = Vec::new();
    for name in leftovers(Path::new("/run/netns")) {
        netns::remove(&name);
        removed.push(name);
    }
    for name in leftovers(&env::temp_dir()) {
        remove_directory(&env::temp_dir().join(&name));
        removed.push(name);
    }
    removed
}

pub(crate) fn remove_directory(directory: &Path) {
    bpffs::remove(&directory.join("bpf"));
    let _ = fs::remove_dir_all(directory);
}

fn leftovers(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| RunName::parse(name).is_some_and(|run| !run.is_alive()))
        .collect()
}
