//! For how long an answer of the API server is waited for: the client itself waits for ever.

use std::time::Duration;

use tokio::time::timeout;

/// Longer nobody waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The API server says so, or is not there.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// It says nothing.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// Does what may take many requests, within this time in all.
pub(super) async fn within<T>(
    patience: Duration,
    requests: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Unanswered> {
    let answered = timeout(patience, requests).await;
    Ok(answered.map_err(|_| Unanswered::Late(patience))??)
}
