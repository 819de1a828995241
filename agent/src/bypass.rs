//! Whether a pod's packets go past the host side of its interface, as with Cilium's eBPF host
//! routing: the uplink lets them in, the pod answers, and its interface never sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use stoq_ebpf_abi::maps::Activity;

use crate::plan::{Place, Plan};

/// How long packets must go past before it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(1);
/// What is older says nothing about now.
const RECENT: Duration = Duration::from_secs(5);

/// The addresses of pods with an interface of their own, and whether each goes past it by the plan.
pub fn watched(plan: &Plan) -> BTreeMap<IpAddr, bool> {
    let own = plan.pods().filter(|pod| pod.place.interface().is_some());
    let addresses = own.flat_map(|pod| {
        let past = |ip: &IpAddr| match &pod.place {
            Place::Bypassed { addresses, .. } => addresses.contains(ip),
            _ => false,
        };
        pod.ips.iter().map(move |ip| (*ip, past(ip)))
    });
    addresses.collect()
}

/// Whether the endpoint is bypassed, if its activity tells; `now` is `CLOCK_MONOTONIC`, ns.
///
/// Without a hook at the uplink, which XDP may have been refused, the pod's answers alone speak.
pub fn bypassed(activity: &Activity, uplink_hooked: bool, was: bool, now: u64) -> bool {
    let within = |at: u64, age: Duration| at != 0 && now.saturating_sub(at) < nanoseconds(age);
    let since = |at: u64| now.saturating_sub(at) >= nanoseconds(BELIEVED_AFTER);
    if was {
        // Back only when the interface sees what the uplink does not.
        let seen_at_pod = within(activity.pod_in, RECENT);
        return !seen_at_pod || within(activity.uplink_in, RECENT);
    }
    let arrives = !uplink_hooked || within(activity.uplink_in, RECENT);
    let answers = within(activity.pod_out, RECENT) || within(activity.uplink_out, RECENT);
    let latest = if uplink_hooked {
        activity.uplink_in
    } else {
        activity.pod_out
    };
    let unseen = since(activity.pod_in)
        && latest.saturating_sub(activity.pod_in) >= nanoseconds(BELIEVED_AFTER);
    arrives && answers && unseen
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const NOW: u64 = 100 * S;

    fn activity(uplink_in: u64, pod_in: u64, pod_out: u64) -> Activity {
        Activity {
            uplink_in,
            pod_in,
            pod_out,
            ..Activity::default()
        }
    }

    #[test]
    fn a_pod_that_answers_what_its_interface_never_saw_is_bypassed() {
        for (case, activity, hooked, was, expected) in [
            ("quiet", activity(0, 0, 0), true, false, false),
            ("normal", activity(NOW, NOW, NOW), true, false, false),
            (
                "normal, a moment ago",
                activity(NOW - S / 10, NOW - S / 5, NOW),
                true,
                false,
                false,
            ),
            ("past it", activity(NOW, 0, NOW), true, false, true),
            (
                "past it since 2 s",
                activity(NOW, NOW - 2 * S, NOW),
                true,
                false,
                true,
            ),
            ("no answer", activity(NOW, 0, 0), true, false, false),
            ("only sends", activity(0, 0, NOW), true, false, false),
            (
                "past it, uplink unhooked",
                activity(0, 0, NOW),
                false,
                false,
                true,
            ),
            (
                "ended long ago",
                activity(NOW - 60 * S, 0, NOW - 60 * S),
                true,
                false,
                false,
            ),
            ("stays", activity(NOW, 0, NOW), true, true, true),
            ("stays while silent", activity(0, 0, 0), true, true, true),
            (
                "same-node traffic too",
                activity(NOW, NOW, NOW),
                true,
                true,
                true,
            ),
            (
                "back again",
                activity(NOW - 10 * S, NOW, NOW),
                true,
                true,
                false,
            ),
        ] {
            assert_eq!(bypassed(&activity, hooked, was, NOW), expected, "{case}");
        }
    }
}
