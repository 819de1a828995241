//! Taking all of STOQ off this machine, and nothing else.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::names::parse_qdisc_name;
use super::pins::{entries, remove_all, root, versions};
use super::{clsact, link};
use crate::kernel::device::{self, ALIAS};
use crate::kernel::interface::{self, Interface};
use crate::sys::{KernelError, pin};
use crate::tc::{self, Direction};

/// What a clean-up did; one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Removed.
    pub removed: Vec<String>,
    /// Still there, and why.
    pub failed: Vec<String>,
}

/// Removes our filters, the qdiscs we made, our links and pins in every version's tree, and the devices with our alias.
/// A directory `stoq` that is in no BPF file system is somebody else's.
///
/// Goes on after a failure, so that one stubborn thing leaves nothing else behind.
pub fn remove_everything(bpffs: &Path) -> Cleanup {
    let mut cleanup = Cleanup::default();
    let interfaces = cleanup.look("interfaces", interface::list());
    interfaces.iter().for_each(|i| cleanup.filters(i));
    if pin::is_bpffs(bpffs).unwrap_or(false) {
        let trees = cleanup.look("pins", versions(&root(bpffs)));
        trees.iter().for_each(|tree| cleanup.tree(tree));
        cleanup.rest(&root(bpffs));
    }
    // After the links, whose programs a device also shows.
    interfaces.iter().for_each(|i| cleanup.unlinked(i));
    interfaces.iter().for_each(|i| cleanup.device(i));
    cleanup
}

impl Cleanup {
    fn filters(&mut self, interface: &Interface) {
        for direction in Direction::ALL {
            let ours = clsact::ours(interface.index, direction);
            for filter in self.look(&interface.name, ours) {
                let what = format!("filter {} on {}", filter.name, interface.name);
                self.note(what, tc::remove(interface.index, &filter));
            }
        }
    }

    fn tree(&mut self, tree: &Path) {
        for (ifindex, marker) in self.qdiscs(tree) {
            let what = format!("clsact qdisc on interface {ifindex}");
            self.note(what, clsact::release_qdisc(ifindex, &marker));
        }
        self.note(format!("pins in {}", tree.display()), remove_all(tree));
    }

    fn qdiscs(&mut self, tree: &Path) -> Vec<(u32, PathBuf)> {
        let markers = self.look("qdiscs", entries(&tree.join("links")));
        let with_index = markers.into_iter().filter_map(|marker| {
            let index = parse_qdisc_name(marker.file_name()?.to_str()?)?;
            Some((index, marker))
        });
        with_index.collect()
    }

    fn unlinked(&mut self, interface: &Interface) {
        for program in &interface.xdp {
            if let Err(error) = link::remove_unlinked(interface.index, program.mode) {
                let what = format!("XDP program {} on {}", program.id, interface.name);
                self.note(what, Err(error));
            }
        }
    }

    fn rest(&mut self, root: &Path) {
        if root.exists() {
            let what = format!("directory {}", root.display());
            self.note(what, std::fs::remove_dir_all(root));
        }
    }

    fn device(&mut self, interface: &Interface) {
        if interface.alias == ALIAS {
            let what = format!("device {}", interface.name);
            self.note(what, device::delete(interface.index));
        }
    }

    fn note<E: Display>(&mut self, what: String, outcome: Result<(), E>) {
        match outcome {
            Ok(()) => self.removed.push(what),
            Err(error) => self.failed.push(format!("{what}: {error}")),
        }
    }

    fn look<T: Default, E: Into<KernelError>>(&mut self, what: &str, found: Result<T, E>) -> T {
        found.unwrap_or_else(|error| {
            self.failed.push(format!("{what}: {}", error.into()));
            T::default()
        })
    }
}
