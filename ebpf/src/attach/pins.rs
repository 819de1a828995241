use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stoq_ebpf_abi::ABI_VERSION;

use super::link;

/// `<bpffs>/stoq/v<abi>/{maps,links}/`: what we pinned, by the version of the map layouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
    version: PathBuf,
}

impl Pins {
    /// Those of this version, in the BPF file system mounted at `bpffs`.
    pub fn new(bpffs: &Path) -> Self {
        Self::of_version(bpffs, ABI_VERSION)
    }

    /// Those of a version.
    pub fn of_version(bpffs: &Path, abi: u32) -> Self {
        let root = root(bpffs);
        let version = root.join(format!("v{abi}"));
        Self { root, version }
    }

    /// `<bpffs>/stoq`: the pins of all versions.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Directory of the pinned maps.
    pub fn maps(&self) -> PathBuf {
        self.version.join("maps")
    }

    /// Directory of the pinned links, and of markers of the qdiscs we made.
    pub fn links(&self) -> PathBuf {
        self.version.join("links")
    }

    /// Makes the directories that are missing.
    pub fn create(&self) -> io::Result<()> {
        [self.maps(), self.links()]
            .iter()
            .try_for_each(fs::create_dir_all)
    }

    /// Moves the links of other versions here, then removes those versions.
    ///
    /// The moved links keep running their old programs, which keep their maps alive, until [`super::attach`] puts the
    /// new ones in: no packet goes unfiltered.
    pub fn adopt_others(&self) -> io::Result<()> {
        for other in self.others()? {
            self.adopt(&other.join("links"))?;
            remove_all(&other)?;
        }
        Ok(())
    }

    fn others(&self) -> io::Result<Vec<PathBuf>> {
        let versions = versions(&self.root)?.into_iter();
        Ok(versions.filter(|path| *path != self.version).collect())
    }

    fn adopt(&self, links: &Path) -> io::Result<()> {
        let here = self.links();
        fs::create_dir_all(&here)?;
        for old in entries(links)? {
            let Some(name) = old.file_name() else {
                continue;
            };
            let new = here.join(name);
            // Both versions hold the hook: the one of this version stays.
            if !new.exists() {
                fs::rename(&old, new)?;
            }
        }
        Ok(())
    }
}

pub(super) fn root(bpffs: &Path) -> PathBuf {
    bpffs.join("stoq")
}

/// The `v<number>` directories; none where there is no tree.
pub(super) fn versions(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = entries(root)?;
    found.retain(|path| version_of(path).is_some());
    Ok(found)
}

fn version_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix('v')?.parse().ok()
}

/// What a directory holds, in order; nothing if it does not exist.
pub(super) fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut paths = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Detaches every link below `directory` and removes it whole.
pub(super) fn remove_all(directory: &Path) -> io::Result<()> {
    for path in entries(&directory.join("links"))? {
        if path.is_file() {
            link::remove_pin(&path).map_err(io::Error::other)?;
        }
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_directories_are_versions() {
        let cases = [("v1", Some(1)), ("v", None), ("x1", None), ("v1x", None)];
        for (name, version) in cases {
            assert_eq!(version_of(Path::new(name)), version, "{name}");
        }
    }
}
