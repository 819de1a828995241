//! Whether this node has what a device promises.

use stoq_ebpf::capability::{Gate, State};

use crate::broker::Uplinks;

/// What one of these closes is closed for every pod of the node.
const NEEDED: [&str; 7] = [
    "bpffs",
    "xdp-program",
    "map-devmap",
    "map-xskmap",
    "xdp-native",
    "af-xdp",
    "locked-memory",
];

/// Of all devices alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As far as anybody knows, a pod gets its socket here.
    Healthy,
    /// It does not, and why.
    Unhealthy(String),
}

/// As the gates and the last pass tell. Before anything is selected here, so that no uplink has
/// been tried, the gates alone do: pods could not come otherwise. On a paused node none is tried.
pub fn health(gates: &[Gate], uplinks: &Uplinks, failure: Option<&str>, paused: bool) -> Health {
    if paused {
        return Health::Unhealthy("paused".to_owned());
    }
    let needed = gates.iter().filter(|gate| NEEDED.contains(&gate.name));
    let mut closed = needed.filter_map(|gate| match &gate.state {
        State::Unavailable { reason, message } => {
            Some(format!("{}: {reason}: {message}", gate.name))
        }
        State::Available | State::Unknown { .. } => None,
    });
    let refused = || match uplinks {
        Uplinks::Refused(words) => Some(words.clone()),
        Uplinks::Attached | Uplinks::Untried => None,
    };
    let failed = || failure.map(str::to_owned);
    let why = closed.next().or_else(failed).or_else(refused);
    why.map_or(Health::Healthy, Health::Unhealthy)
}

#[cfg(test)]
mod tests {
    use stoq_ebpf::capability::Reason;

    use super::*;

    #[test]
    fn devices_are_as_healthy_as_what_they_need() {
        let ok = |name| Gate {
            name,
            state: State::Available,
        };
        let no = |name| Gate {
            name,
            state: State::Unavailable {
                reason: Reason::PermissionDenied,
                message: "EPERM".into(),
            },
        };
        let perhaps = |name| Gate {
            name,
            state: State::Unknown {
                reason: Reason::ProbeFailed,
                message: "no scratch".into(),
            },
        };
        let refused = Uplinks::Refused("no XDP on eth0: MtuTooLarge".into());
        let on = Uplinks::Attached;
        let unhealthy = |words: &str| Health::Unhealthy(words.into());
        for (case, gates, uplinks, failure, expected) in [
            (
                "all is well",
                vec![ok("af-xdp")],
                &on,
                None,
                Health::Healthy,
            ),
            (
                "nothing is selected yet",
                vec![ok("af-xdp")],
                &Uplinks::Untried,
                None,
                Health::Healthy,
            ),
            (
                "nobody knows",
                vec![perhaps("af-xdp")],
                &on,
                None,
                Health::Healthy,
            ),
            (
                "what is not needed",
                vec![no("tcx"), ok("af-xdp")],
                &on,
                None,
                Health::Healthy,
            ),
            (
                "no socket",
                vec![ok("bpffs"), no("af-xdp")],
                &on,
                None,
                unhealthy("af-xdp: PermissionDenied: EPERM"),
            ),
            (
                "no uplink takes it",
                vec![],
                &refused,
                None,
                unhealthy("no XDP on eth0: MtuTooLarge"),
            ),
            (
                "the pass failed",
                vec![],
                &Uplinks::Untried,
                Some("ENOSPC"),
                unhealthy("ENOSPC"),
            ),
        ] {
            let found = health(&gates, uplinks, failure, false);
            assert_eq!(found, expected, "{case}");
            let paused = health(&gates, uplinks, failure, true);
            assert_eq!(paused, unhealthy("paused"), "{case}, paused");
        }
    }

    #[test]
    fn every_gate_that_is_needed_is_probed() {
        let probed = stoq_ebpf::capability::probe(std::path::Path::new("/nowhere")).gates;
        for needed in NEEDED {
            assert!(probed.iter().any(|gate| gate.name == needed), "{needed}");
        }
    }
}
