//! Node agent.
#![forbid(unsafe_code)]
fn main() {}
