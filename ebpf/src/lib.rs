//! User side of the BPF programs.

pub mod attach;
pub mod capability;
pub mod kernel;
pub mod sys;
pub mod tc;
pub mod xdp;
