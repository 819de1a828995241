//! User side of the BPF programs.

pub mod af_xdp;
pub mod attach;
pub mod broker;
pub mod capability;
pub mod direct;
pub mod flows;
pub mod kernel;
pub mod loader;
pub mod pinned;
pub mod relay;
pub mod stats;
pub mod sys;
pub mod tables;
pub mod tc;
pub mod xdp;
