//! What STOQ's agent and operator share as processes: pages over HTTP, and what `/proc` says of them.
#![forbid(unsafe_code)]

pub mod http;
mod process;

pub use process::Process;
