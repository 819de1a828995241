//! The process that a person's cluster lives in.

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shape;
use super::session::Session;
use crate::{Cluster, ControlPlane};

/// Starts a cluster, tells of it, and removes it on SIGTERM.
pub(super) fn keep(shape: Shape) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    if shape.control_plane {
        let control_plane = ControlPlane::start()?;
        hold(&Session::of(&control_plane), &runtime, ended)
    } else {
        let cluster = Cluster::start(usize::from(shape.nodes))?;
        hold(&Session::of_cluster(&cluster)?, &runtime, ended)
    }
}

fn hold(session: &Session, runtime: &Runtime, mut ended: Signal) -> Result<()> {
    println!("{}", serde_json::to_string(session)?);
    runtime.block_on(ended.recv());
    Ok(())
}
