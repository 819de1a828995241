//! The node's metrics: from one [`Snapshot`] to a page in Prometheus' text format.
//!
//! The families, their labels and what they mean stand in [`registry`]; `docs/metrics.md` is made from it.

mod af_xdp;
mod docs;
mod families;
mod histogram;
mod node;
pub mod registry;
mod snapshot;
mod tiers;
mod traffic;

pub use af_xdp::{AfXdp, Share};
pub use docs::page;
pub use snapshot::{Connections, ProgramRuns, Reconciles, Slot, Snapshot};
pub use stoq_daemon::Process;

/// Media type of what [`render`] gives.
pub use prometheus::TEXT_FORMAT;

use families::Families;

/// The page of one moment.
pub fn render(snapshot: &Snapshot) -> String {
    let mut families = Families::default();
    traffic::add(&mut families, snapshot);
    af_xdp::add(&mut families, &snapshot.af_xdp);
    node::add(&mut families, snapshot);
    families.encode()
}

#[cfg(test)]
mod tests;
