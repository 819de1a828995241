//! The cluster that the node belongs to: what it asks for, and what it is told.
//!
//! | what happens | what follows |
//! |---|---|
//! | the API server does not answer | what was last seen stays; each watch is tried again after 0.8 to 20 s |
//! | the agent starts meanwhile | it goes on with `objects.jsonl` of its run directory |
//! | neither answers | nothing is planned: what an earlier agent attached stays |
//! | an object is refused | its last good state stays |

mod cache;
mod connection;
mod events;
mod failures;
mod follow;
mod identity;
mod index;
mod patience;
mod reporter;
mod shelf;
mod watches;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use cache::CACHE;
pub use connection::ClusterError;

use crate::objects::Objects;
use crate::run::Shared;
use follow::{Follower, Known};
use patience::PATIENCE;
use reporter::Reporter;

/// Who the agent is in its cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Its node.
    pub node: String,
    /// The namespace of STOQ itself.
    pub namespace: String,
    /// Its pod, to sign events with; its node's name without one.
    pub pod: Option<String>,
    /// Uid of the node, where the agent's token does not say it.
    pub node_uid: Option<String>,
}

/// The objects of a cluster, kept current until dropped.
pub struct Cluster {
    options: ClusterOptions,
    client: Client,
    known: watch::Receiver<Known>,
    _follower: JoinSet<()>,
}

impl Cluster {
    /// Begins to follow them.
    ///
    /// # Errors
    /// Nothing says where the API server is.
    pub async fn open(options: &ClusterOptions, run_dir: &Path) -> Result<Self, ClusterError> {
        let client = connection::client().await?;
        let cached = cache::read(run_dir, &options.node);
        let (follower, known) = Follower::new(cached, run_dir);
        let changes = watches::changes(&client, options);
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run(changes));
        Ok(Self {
            options: options.clone(),
            client,
            known,
            _follower: tasks,
        })
    }

    /// The latest objects, or why they are not known yet.
    pub fn objects(&mut self) -> Result<Arc<Objects>, String> {
        self.known.borrow_and_update().clone()
    }

    /// Waits until there are newer ones. False: there will never be any.
    pub async fn changed(&mut self) -> bool {
        self.known.changed().await.is_ok()
    }

    /// Keeps the node's StoqNode current, from what the loop finds.
    pub fn report(&self, shared: Shared, maps: PathBuf) {
        let reporter = Reporter::new(self.client.clone(), &self.options, shared, maps, PATIENCE);
        tokio::spawn(reporter.run());
    }
}
