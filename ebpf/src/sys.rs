//! The system calls aya does not offer, each a thin and safe function.
//!
//! What a call returns on refusal is always a [`KernelError`]: the errno and, where the kernel gave any, its own words.

pub mod batch;
mod bpf;
mod error;
pub mod link;
pub mod map;
pub mod netlink;
pub mod pin;
pub mod program;

pub use error::{KernelError, errno_name};
