//! Whether a pod's packets go past the host side of its interface, as with Cilium's eBPF host
//! routing: the uplink lets them in, the pod answers, and its interface never sees them.
//!
//! A pod that only sends shows half of that. Where no program sees what the uplink takes in, it is
//! a suspect: the uplink is watched, and what is seen there decides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use stoq_ebpf_abi::maps::Activity;

use crate::plan::{Detours, Plan};

/// How far the interface must lag behind the uplink before packets are said to go past it.
const BELIEVED_AFTER: u64 = 1_000_000_000;
/// What is older says nothing about now, ns. Also, how long packets must be seen at the interface
/// of a pod that was bypassed: traffic of the same node comes by it now and then.
const RECENT: u64 = 5_000_000_000;
/// How long the uplink is watched for a suspect, ns. Now and then a packet comes to one that sends
/// most of the time: that must not move a program to and fro.
const SUSPECTED_FOR: u64 = 30_000_000_000;

/// The addresses of pods with an interface of their own.
pub fn watched(plan: &Plan) -> BTreeSet<IpAddr> {
    let own = plan.pods().filter(|pod| pod.place.interface().is_some());
    own.flat_map(|pod| pod.ips.iter().copied()).collect()
}

/// What the activity of an endpoint says of the way to it; the last speaks for all endpoints of an
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Nothing.
    None,
    /// It sends, and nothing comes to its interface.
    Sends,
    /// Packets come by its interface.
    Own,
    /// Packets come in by the uplink and do not come to its interface, and it answers.
    Past,
}

/// What the activity says; `now` is `CLOCK_MONOTONIC`, ns.
pub fn evidence(activity: &Activity, now: u64) -> Evidence {
    let recent = |at: u64| at != 0 && now.saturating_sub(at) < RECENT;
    let lags = |at: u64| at.saturating_sub(activity.pod_in) >= BELIEVED_AFTER;
    // What answered before the interface saw its last packet answered that one.
    let answered = activity.pod_out.max(activity.uplink_out);
    let answers = recent(answered) && lags(answered);
    if recent(activity.uplink_in) && answers && lags(activity.uplink_in) {
        Evidence::Past
    } else if recent(activity.pod_in) && !lags(activity.uplink_in) {
        Evidence::Own
    } else if recent(activity.pod_out) && lags(activity.pod_out) {
        Evidence::Sends
    } else {
        Evidence::None
    }
}

/// What is believed of the ways to addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways(BTreeMap<IpAddr, Way>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// By the interface, as far as is known.
    #[default]
    Own,
    /// The same, with an eye on the uplink.
    Suspect { until: u64 },
    /// Past the interface; if packets come by it, since when.
    Past { own_since: Option<u64> },
}

impl Ways {
    /// What is believed after a look at these addresses at `now`; all others are forgotten.
    #[must_use]
    pub fn after(&self, seen: &BTreeMap<IpAddr, Evidence>, now: u64) -> Self {
        let way = |ip: &IpAddr| self.0.get(ip).copied().unwrap_or_default();
        let next = seen
            .iter()
            .map(|(ip, evidence)| (*ip, way(ip).after(*evidence, now)));
        Self(next.collect())
    }

    /// What of it concerns the plan.
    pub fn detours(&self) -> Detours {
        let of = |is: fn(&Way) -> bool| -> BTreeSet<IpAddr> {
            let those = self.0.iter().filter(|(_, way)| is(way));
            those.map(|(ip, _)| *ip).collect()
        };
        Detours {
            bypassed: of(|way| matches!(way, Way::Past { .. })),
            suspects: of(|way| matches!(way, Way::Suspect { .. })),
        }
    }
}

impl Way {
    fn after(self, evidence: Evidence, now: u64) -> Self {
        match (self, evidence) {
            (_, Evidence::Past) => Self::Past { own_since: None },
            (Self::Past { own_since }, Evidence::Own) => Self::back(own_since.unwrap_or(now), now),
            (Self::Past { .. }, _) => Self::Past { own_since: None },
            (_, Evidence::Sends) => Self::Suspect {
                until: now + SUSPECTED_FOR,
            },
            (Self::Suspect { until }, _) if now >= until => Self::Own,
            (way, _) => way,
        }
    }

    const fn back(since: u64, now: u64) -> Self {
        if now.saturating_sub(since) >= RECENT {
            return Self::Own;
        }
        Self::Past {
            own_since: Some(since),
        }
    }
}

#[cfg(test)]
mod tests;
