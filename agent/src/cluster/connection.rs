//! Where the API server is.

use kube::config::InferConfigError;
use kube::{Client, Config};

/// What to do about it.
const HINT: &str = "in a pod, give it a service account token; elsewhere set KUBECONFIG; without a \
                    cluster, use --standalone DIR";

/// There is no way to the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nothing says where it is.
    #[error("no cluster: {}: {HINT}", in_a_line(.0))]
    NoConfig(#[source] Box<InferConfigError>),
    /// What is said makes no sense.
    #[error("the cluster's configuration: {0}")]
    Client(#[source] kube::Error),
}

/// As a pod's service account or a kubeconfig says. The token is read again when it is renewed.
pub(super) async fn client() -> Result<Client, ClusterError> {
    let config = Config::infer().await;
    let config = config.map_err(|error| ClusterError::NoConfig(Box::new(error)))?;
    stoq_daemon::client(config).map_err(ClusterError::Client)
}

fn in_a_line(error: &InferConfigError) -> String {
    error.to_string().replace('\n', " ")
}
