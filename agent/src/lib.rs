//! STOQ's node agent: what it observes, what it is asked for, and what it does about it.
#![forbid(unsafe_code)]

pub mod node;
pub mod objects;
pub mod status;
