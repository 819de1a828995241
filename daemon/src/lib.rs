//! What STOQ's agent and operator share as processes: pages over HTTP, the log, and what `/proc` says of them.
#![forbid(unsafe_code)]

pub mod http;
mod log;
mod process;

pub use log::Log;
pub use process::Process;
