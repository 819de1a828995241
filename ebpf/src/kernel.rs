//! What the kernel tells about interfaces and about us, in the calling thread's network namespace.

mod address;
mod boot;
mod clock;
pub mod confinement;
pub mod device;
mod ethtool;
pub mod features;
pub mod interface;
#[cfg(test)]
pub(crate) mod testing;

pub use address::addresses;
pub use boot::seed;
pub use clock::{after_a_tick, tick};
pub use ethtool::{driver, queues};
