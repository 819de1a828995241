//! Who the agent is in its cluster.

use std::path::PathBuf;

use clap::Args;
use stoq_agent::cluster::ClusterOptions;
use stoq_agent::source::SourceOptions;

#[derive(Args)]
pub(super) struct Options {
    /// In a cluster: name of this node
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
    /// In a cluster: namespace of STOQ
    #[arg(
        long,
        value_name = "NAME",
        env = "POD_NAMESPACE",
        default_value = "stoq-system"
    )]
    namespace: String,
    /// In a cluster: name of this pod, to sign events with
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide = true)]
    pod_name: Option<String>,
    /// In a cluster: uid of this node, where the pod's token does not say it
    #[arg(long, value_name = "UID", env = "NODE_UID", hide = true)]
    node_uid: Option<String>,
}

/// What to do where it is not known which node this is.
const NO_NODE: &str = "which node of the cluster is this? Set NODE_NAME or --node-name; without a \
                       cluster, use --standalone DIR";

impl Options {
    /// A directory goes before a cluster.
    pub(super) fn source(self, standalone: Option<PathBuf>) -> Result<SourceOptions, &'static str> {
        if let Some(directory) = standalone {
            return Ok(SourceOptions::Standalone(directory));
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(SourceOptions::Cluster(ClusterOptions {
            node: given(self.node_name).ok_or(NO_NODE)?,
            namespace: self.namespace,
            pod: given(self.pod_name),
            node_uid: given(self.node_uid),
        }))
    }
}
