use std::io;
use std::path::{Path, PathBuf};

use super::{HookKind, link};

/// `<bpffs>/stoq/v<abi>/{maps,links,programs}/`: what we pinned, by the version of the map layouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: PathBuf,
    version: PathBuf,
}

impl Tree {
    /// The tree of one ABI version in a BPF file system.
    pub fn new(bpffs: &Path, abi: u32) -> Self {
        let root = root(bpffs);
        let version = root.join(format!("v{abi}"));
        Self { root, version }
    }

    /// Pinned maps.
    pub fn maps(&self) -> PathBuf {
        self.version.join("maps")
    }

    /// Pinned links, and markers of the qdiscs we made.
    pub fn links(&self) -> PathBuf {
        self.version.join("links")
    }

    /// Pinned programs.
    pub fn programs(&self) -> PathBuf {
        self.version.join("programs")
    }

    /// Makes the directories that are missing.
    pub fn create(&self) -> io::Result<()> {
        [self.maps(), self.links(), self.programs()]
            .iter()
            .try_for_each(std::fs::create_dir_all)
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
        std::fs::create_dir_all(&here)?;
        for old in entries(links)? {
            let Some(name) = old.file_name() else {
                continue;
            };
            let new = here.join(name);
            // Both versions hold the hook: the one of this version stays.
            if !new.exists() {
                std::fs::rename(&old, new)?;
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
    let listed = match std::fs::read_dir(directory) {
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
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Name of a link's pin: hook and interface.
pub(super) fn pin_name(kind: HookKind, interface: &str) -> String {
    format!("{}-{}", word(kind), escaped(interface))
}

/// The hook and the interface a pin is named after.
pub(super) fn parse_pin_name(name: &str) -> Option<(HookKind, String)> {
    HookKind::ALL.into_iter().find_map(|kind| {
        let rest = name.strip_prefix(word(kind))?.strip_prefix('-')?;
        Some((kind, rest.replace("%2e", ".").replace("%25", "%")))
    })
}

/// Name of the directory that marks a qdisc as made by us.
pub(super) fn qdisc_name(ifindex: u32) -> String {
    format!("{QDISC}{ifindex}")
}

/// The index of the device whose qdisc a marker is for.
pub(super) fn parse_qdisc_name(name: &str) -> Option<u32> {
    name.strip_prefix(QDISC)?.parse().ok()
}

const QDISC: &str = "clsact_qdisc-";

fn word(kind: HookKind) -> &'static str {
    match kind {
        HookKind::XdpNative => "xdp_native",
        HookKind::XdpGeneric => "xdp_generic",
        HookKind::TcxIngress => "tcx_ingress",
        HookKind::TcxEgress => "tcx_egress",
        HookKind::ClsactIngress => "clsact_ingress",
        HookKind::ClsactEgress => "clsact_egress",
    }
}

/// A BPF file system allows no dots (`eth0.100` is a common name).
fn escaped(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_name_carries_hook_and_interface() {
        let cases = [
            (HookKind::XdpNative, "eth0", "xdp_native-eth0"),
            (HookKind::TcxEgress, "eth0.100", "tcx_egress-eth0%2e100"),
            (HookKind::TcxIngress, "a%2eb-c", "tcx_ingress-a%252eb-c"),
        ];
        for (kind, interface, name) in cases {
            assert_eq!(pin_name(kind, interface), name);
            assert_eq!(parse_pin_name(name), Some((kind, interface.to_owned())));
        }
    }

    #[test]
    fn a_strange_name_is_no_pin() {
        for name in ["", "xdp", "xdp_native", "eth0", "clsact_qdisc-4"] {
            assert_eq!(parse_pin_name(name), None, "{name}");
        }
    }

    #[test]
    fn only_numbered_directories_are_versions() {
        let cases = [("v1", Some(1)), ("v", None), ("x1", None), ("v1x", None)];
        for (name, version) in cases {
            assert_eq!(version_of(Path::new(name)), version, "{name}");
        }
    }
}
