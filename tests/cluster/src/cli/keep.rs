//! The process that a person's cluster lives in.

use anyhow::Result;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::Shape;
use super::session::Session;
use crate::ControlPlane;

/// Starts a cluster, tells of it, and removes it on SIGTERM.
pub(super) fn keep(shape: Shape) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut ended = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    let _ = shape;
    let control_plane = ControlPlane::start()?;
    let session = Session {
        kubeconfig: control_plane.kubeconfig().to_owned(),
    };
    println!("{}", serde_json::to_string(&session)?);
    runtime.block_on(ended.recv());
    Ok(())
}
