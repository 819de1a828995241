//! One agent at a time works on a BPF file system.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The right to work on a BPF file system; given back when dropped, or when the process ends.
#[derive(Debug)]
pub struct Lease {
    _directory: File,
}

/// It could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process has it.
    #[error("another agent works on {path}: waiting for its end")]
    Held {
        /// Where the BPF file system is mounted.
        path: PathBuf,
    },
    /// The directory could not be opened or locked.
    #[error("lock {path}: {source}")]
    Lock {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Lease {
    /// Takes it for the BPF file system mounted at `bpffs`.
    ///
    /// The lock is on the mount's root: it stays when all of STOQ's pins go.
    ///
    /// # Errors
    /// `Held` while another agent has it.
    pub fn take(bpffs: &Path) -> Result<Self, LeaseError> {
        let refused = |source| LeaseError::Lock {
            path: bpffs.to_owned(),
            source,
        };
        let directory = File::open(bpffs).map_err(refused)?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                _directory: directory,
            }),
            Err(Errno::WOULDBLOCK) => Err(LeaseError::Held {
                path: bpffs.to_owned(),
            }),
            Err(errno) => Err(refused(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_lease_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lease::take(directory.path()).unwrap();
        let second = Lease::take(directory.path());
        assert!(matches!(second, Err(LeaseError::Held { .. })), "{second:?}");
        drop(first);
        Lease::take(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let refused = Lease::take(Path::new("/nowhere")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "lock /nowhere: No such file or directory (os error 2)"
        );
    }
}
