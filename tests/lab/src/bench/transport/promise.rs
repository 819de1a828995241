//! What is promised of the matrix: ratios of two backends in one row, and numbers of one.

use super::backend::Backend;
use super::row::{ROWS, Row};
use crate::bench::figure::Target;
use crate::transport::Work;

/// A promised figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Promise {
    pub(super) name: String,
    pub(super) row: Row,
    /// Whose number.
    pub(super) of: Backend,
    /// Relative to whose; `None`: the number itself.
    pub(super) to: Option<Backend>,
    /// Which number, as in the names of figures.
    pub(super) number: &'static str,
    pub(super) target: Target,
}

/// All of them.
pub(super) fn promises() -> Vec<Promise> {
    use Target::{AtLeast, AtMost};
    let [bulk, rpc, loaded, bulk_gso, bulk_6500, ..] = ROWS;
    let to_quinn = |name: &str, row, of, number, target| Promise {
        name: format!("ratio.{name}"),
        row,
        of,
        to: Some(Backend::Quinn),
        number,
        target,
    };
    let alone = |row: Row, of: Backend, number, target| Promise {
        name: format!("transport.{}.{}.{number}", of.name(), row.name()),
        row,
        of,
        to: None,
        number,
        target,
    };
    let mut all = vec![
        to_quinn("rpc.p50", rpc, Backend::RelaySpin, "p50", AtMost(0.75)),
        to_quinn("rpc.p99", rpc, Backend::RelaySpin, "p99", AtMost(0.6)),
        to_quinn("loaded.p99", loaded, Backend::RelaySpin, "p99", AtMost(0.5)),
        to_quinn(
            "bulk.goodput",
            bulk,
            Backend::Relay,
            "goodput",
            AtLeast(1.0),
        ),
        to_quinn(
            "bulk.cpu",
            bulk,
            Backend::Relay,
            "cpu_per_gbps",
            AtMost(0.9),
        ),
        to_quinn("bulk.rtt", bulk, Backend::Relay, "rtt", AtMost(0.2)),
        alone(bulk, Backend::Relay, "dropped_receiver", AtMost(0.0)),
        alone(bulk_6500, Backend::Auto, "goodput", AtLeast(10.0)),
    ];
    // Whatever is on the node, the crate's user loses nothing to quinn on the same node.
    for row in ROWS {
        let numbers: &[_] = match row.work {
            Work::Bulk => &["goodput"],
            Work::Rpc => &["rate"],
            Work::Loaded => &["rate", "goodput"],
        };
        for number in numbers {
            let name = |of: Backend| format!("{}.{}.{number}", of.name(), row.name());
            let auto = name(Backend::Auto);
            let guarded = name(Backend::AutoGuarded);
            all.push(to_quinn(&auto, row, Backend::Auto, number, AtLeast(0.95)));
            all.push(Promise {
                to: Some(Backend::QuinnGuarded),
                ..to_quinn(&guarded, row, Backend::AutoGuarded, number, AtLeast(0.95))
            });
        }
    }
    // What the guard costs a stock library: XDP on the node's end of a veth pair takes segmentation
    // offload from the client's.
    for row in [bulk, bulk_gso] {
        let name = format!("quinn-guarded.{}.goodput", row.name());
        all.push(to_quinn(
            &name,
            row,
            Backend::QuinnGuarded,
            "goodput",
            Target::None,
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different() {
        let all = promises();
        let names: std::collections::BTreeSet<_> = all.iter().map(|one| &one.name).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn the_promises_are_about_the_rows_that_they_name() {
        for one in promises() {
            let row = match one.name.split('.').nth(1) {
                Some("rpc") => "1452-wire.rpc",
                Some("loaded") => "1452-wire.loaded",
                Some("bulk") => "1452-wire.bulk",
                _ => continue,
            };
            assert_eq!(one.row.name(), row, "{}", one.name);
        }
    }
}
