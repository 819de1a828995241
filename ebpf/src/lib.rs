//! User side of the BPF programs.
pub mod kernel;
pub mod sys;
pub mod xdp;
pub mod attach;
pub mod capability;
pub mod tc;
