//! What the HTTP server asks of the loop.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::run::Shared;

/// Serves until the process ends.
pub fn spawn(_address: SocketAddr, _shared: Shared, _maps: PathBuf) {}
