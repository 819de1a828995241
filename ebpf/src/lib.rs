//! User side of the BPF programs.

pub mod attach;
pub mod capability;
pub mod kernel;
pub mod loader;
mod pinned;
pub mod sys;
pub mod tables;
pub mod tc;
pub mod xdp;
