//! What the agent observes of its network namespace, over rtnetlink.
//!
//! [`Node`] keeps one [`NodeState`] current and wakes its owner when it has changed. What the state
//! means is decided by pure functions over it: [`uplinks`] and [`host_side`]. No namespace is ever
//! entered to find a pod.

#[cfg(test)]
pub(crate) mod fixture;
mod host_side;
mod message;
mod news;
mod resolve;
mod snapshot;
mod state;
mod uplink;
mod watch;

pub use host_side::{HostSide, Missing, host_side};
pub use resolve::RESOLVE_EVERY;
pub use snapshot::SnapshotError;
pub use state::{Interface, Kind, Mac, NodeState, RELAY_ALIAS, Route};
pub use uplink::{Uplink, Uplinks, uplinks};
pub use watch::{Node, ObserveError, snapshot};
