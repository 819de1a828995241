//! What STOQ's agent and operator share as processes: pages over HTTP, watches of the API server, the
//! log, chance, and what `/proc` says of them.
#![forbid(unsafe_code)]

pub mod http;
mod log;
mod process;
pub mod random;
mod watch;

pub use log::Log;
pub use process::Process;
pub use watch::{client, watch};
