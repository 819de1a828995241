//! The table's node under other policies: their fates follow from the model.

use stoq_ebpf_abi::maps::{Buckets, Hook, Policy, budget_index, endpoint_flag, mode, policy_flag};

use super::{EMPTY, node};
use crate::packets::node::Node;

/// Nodes by name, the table's own first.
pub(crate) fn variants() -> Vec<(&'static str, Node)> {
    let unlimited = |policy: &mut Policy| {
        (policy.source_packet, policy.source_initial) = (0, 0);
        (policy.unestablished_packet, policy.unestablished_initial) = (0, 0);
    };
    vec![
        ("enforce", node()),
        ("monitor", with(|policy| policy.mode = mode::MONITOR)),
        ("off", with(|policy| policy.mode = mode::OFF)),
        (
            "reject_unknown",
            with(|policy| policy.flags |= policy_flag::REJECT_UNKNOWN_VERSIONS),
        ),
        (
            "no_validation",
            with(|policy| policy.flags &= !policy_flag::VALIDATE_INITIAL),
        ),
        (
            "allow_list",
            with(|policy| policy.flags |= policy_flag::ALLOW_LIST),
        ),
        (
            "no_cidrs",
            with(|policy| policy.flags = policy_flag::VALIDATE_INITIAL),
        ),
        ("no_limits", with(unlimited)),
        (
            "nothing",
            with(|policy| {
                *policy = Policy {
                    mode: mode::ENFORCE,
                    ..Policy::default()
                }
            }),
        ),
        (
            "wide_sources",
            with(|policy| policy.source_v4 = u32::from_be(0xffff_ff00)),
        ),
        ("pod_alone", flagged(endpoint_flag::POD_ALONE)),
        ("uplink", flagged(endpoint_flag::UPLINK)),
        ("no_packets_left", drained(EMPTY, 0)),
        ("no_initials_left", drained(0, EMPTY)),
    ]
}

/// All endpoints have the flag: their pods' hooks guard alone, or they live at the uplink.
fn flagged(flag: u32) -> Node {
    let mut node = node();
    let endpoints = node.endpoints.values_mut();
    endpoints.for_each(|endpoint| endpoint.flags |= flag);
    node
}

fn with(change: impl Fn(&mut Policy)) -> Node {
    let mut node = node();
    node.policies.values_mut().for_each(change);
    node
}

/// The unestablished budgets of both transports are spent.
fn drained(packets: u64, initials: u64) -> Node {
    let mut node = node();
    for (transport, hook) in [0, 1]
        .into_iter()
        .flat_map(|t| Hook::ALL.map(|hook| (t, hook)))
    {
        let buckets = Buckets { packets, initials };
        node.budgets.insert(budget_index(transport, hook), buckets);
    }
    node
}
