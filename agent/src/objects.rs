//! What the agent is asked for. [`crate::source`] says where that comes from; here, a directory of
//! StoqTransport and Pod files.
//!
//! | what is found | what follows |
//! |---|---|
//! | a document that is refused, but names its object | that object keeps its last good state |
//! | a file that cannot be read, is empty, or holds a document that names no object | whatever was last read from that file, and no other document names, stays |
//! | an object in two documents | the first one counts, by file name and then by position; the other is refused |
//! | an object in no file | it is deleted |
//! | a directory that cannot be read | everything stays |
//!
//! Files are replaced best by renaming a complete one into place. A file that is being written is
//! read when its writer closes it. Which of two transports on one endpoint is older is decided by
//! `metadata.creationTimestamp`; those without one are younger than those with, and ordered by
//! namespace and name (see [`stoq_crds::resolve_conflicts`]), so a restart changes nothing.

mod directory;
mod files;
mod merge;
mod problem;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use stoq_crds::{Kind, Object, ObjectName, Pod, Transport};

pub use directory::{Directory, DirectoryError};
pub use files::Files;
pub use merge::merge;
pub use problem::{Fault, Problem};

/// One object among all.
pub type Key = (Kind, ObjectName);

/// The objects in force, and what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Transports in force, by name.
    pub transports: Vec<Transport>,
    /// Pods in force, by name.
    pub pods: Vec<Pod>,
    /// Everything that was refused.
    pub problems: Vec<Problem>,
    /// What the cluster could not tell for long, and why. No fault of what it told before.
    pub unheard: Vec<String>,
    /// Transports that the cluster says are not in force, and why: they lost an endpoint, of a pod that may be on another
    /// node.
    pub refused: BTreeMap<ObjectName, String>,
    /// Addresses of the cluster's nodes, as far as the cluster tells.
    pub node_addresses: BTreeSet<IpAddr>,
    /// Whether nothing is to be in force on this node, whatever the transports ask for.
    pub paused: bool,
    /// Generation of the StoqNode that says so; `None` without one.
    pub node_generation: Option<i64>,
    /// The file that each object in force belongs to.
    sources: BTreeMap<Key, String>,
}

impl Objects {
    fn get(&self, (kind, name): &Key) -> Option<Object> {
        match kind {
            Kind::Transport => {
                let found = self.transports.iter().find(|one| one.name == *name);
                found.map(|one| Object::Transport(Box::new(one.clone())))
            }
            Kind::Pod => {
                let found = self.pods.iter().find(|one| one.name == *name);
                found.map(|one| Object::Pod(Box::new(one.clone())))
            }
        }
    }
}
