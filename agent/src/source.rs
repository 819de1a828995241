//! Where the objects come from that the agent is asked for: a directory, or the cluster.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cluster::{Cluster, ClusterError, ClusterOptions};
use crate::objects::{Directory, DirectoryError, Objects};
use crate::run::Shared;

/// What the agent was told of it.
#[derive(Clone, Debug)]
pub enum SourceOptions {
    /// A directory of StoqTransport and Pod files.
    Standalone(PathBuf),
    /// The API server of the cluster that the node belongs to.
    Cluster(ClusterOptions),
}

impl SourceOptions {
    /// Whether there is no cluster.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        matches!(self, Self::Standalone(_))
    }
}

/// It is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The directory of objects.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// The objects, kept current until dropped.
pub enum Source {
    /// Those of a directory.
    Standalone(Directory),
    /// Those of the cluster.
    Cluster(Box<Cluster>),
}

impl Source {
    /// Begins to read them. What the cluster was seen to ask for is kept in `run_dir`.
    ///
    /// # Errors
    /// The directory can't be read, or nothing says where the cluster is. That an API server does
    /// not answer is no error.
    pub async fn open(options: &SourceOptions, run_dir: &Path) -> Result<Self, SourceError> {
        Ok(match options {
            SourceOptions::Standalone(path) => Self::Standalone(Directory::open(path)?),
            SourceOptions::Cluster(options) => {
                Self::Cluster(Box::new(Cluster::open(options, run_dir).await?))
            }
        })
    }

    /// The latest objects; from here on [`Source::changed`] waits for newer ones.
    ///
    /// # Errors
    /// They are not known yet, and why: nothing may be planned.
    pub fn objects(&mut self) -> Result<Arc<Objects>, String> {
        match self {
            Self::Standalone(directory) => Ok(directory.objects()),
            Self::Cluster(cluster) => cluster.objects(),
        }
    }

    /// Waits until there are newer objects than [`Source::objects`] last gave. False: there will
    /// never be any.
    pub async fn changed(&mut self) -> bool {
        match self {
            Self::Standalone(directory) => directory.changed().await.is_ok(),
            Self::Cluster(cluster) => cluster.changed().await,
        }
    }

    /// Tells the cluster what becomes of it, from now on. `maps` is the directory of the pinned maps.
    pub fn report(&self, shared: &Shared, maps: PathBuf) {
        if let Self::Cluster(cluster) = self {
            cluster.report(shared.clone(), maps);
        }
    }
}
