//! The CIDRs of one transport: folded, and how to get from one set to another.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ipnet::IpNet;
use stoq_ebpf_abi::maps::cidr_flag::{ALLOW, DENY, EXEMPT};

use super::desired::PolicySpec;

/// Prefixes and what the guard is to read for a source it matches best.
pub type Cidrs = BTreeMap<IpNet, u32>;

/// The union of a policy's lists. The programs see only the longest prefix of a source, so each carries what all that
/// cover it say.
pub(super) fn fold(spec: &PolicySpec) -> Cidrs {
    let lists = [
        (&spec.allow, ALLOW),
        (&spec.deny, DENY),
        (&spec.exempt, EXEMPT),
    ];
    // Without an allow list everybody is allowed. That this is said holds while the programs still read the old
    // policy, which may have had one.
    let everybody = if spec.allow.is_empty() { ALLOW } else { 0 };
    let mut cidrs = Cidrs::new();
    for (nets, flag) in lists {
        for net in nets {
            *cidrs.entry(net.trunc()).or_insert(everybody) |= flag;
        }
    }
    inherit(&mut cidrs);
    cidrs
}

/// In this order a prefix stands behind all that cover it.
fn inherit(cidrs: &mut Cidrs) {
    let mut covering: Vec<(IpNet, u32)> = Vec::new();
    for (net, flags) in cidrs {
        while covering.pop_if(|(wider, _)| !wider.contains(net)).is_some() {}
        *flags |= covering.last().map_or(0, |(_, inherited)| *inherited);
        covering.push((*net, *flags));
    }
}

/// What to write and then what to remove.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) puts: Vec<(IpNet, u32)>,
    pub(super) removals: Vec<IpNet>,
}

/// From one set to another so that at every step each source gets its old flags or its new ones, never a mixture:
/// narrow prefixes are written before wide ones, wide ones are removed before narrow ones.
pub(super) fn changes(have: &Cidrs, want: &Cidrs) -> Changes {
    let stale = |(net, flags): &(&IpNet, &u32)| have.get(net) != Some(flags);
    let mut puts: Vec<_> = want.iter().filter(stale).map(|(n, f)| (*n, *f)).collect();
    puts.sort_by_key(|(net, _)| Reverse(net.prefix_len()));
    let gone = have.keys().filter(|net| !want.contains_key(net));
    let mut removals: Vec<_> = gone.copied().collect();
    removals.sort_by_key(IpNet::prefix_len);
    Changes { puts, removals }
}

#[cfg(test)]
mod tests;
