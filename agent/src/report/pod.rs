//! Pods: where each is guarded and observed.

use stoq_ebpf::tables::AppliedTransport;

use crate::plan::{Place, Plan, PlannedPod};
use crate::status::PodStatus;

pub(super) fn status(
    plan: &Plan,
    pod: &PlannedPod,
    applied: Option<&AppliedTransport>,
) -> PodStatus {
    let interface = pod.place.interface();
    let interface = interface.and_then(|index| plan.interfaces.get(&index));
    let (place, message) = words(&pod.place);
    PodStatus {
        name: pod.name.to_string(),
        ips: pod.ips.iter().map(ToString::to_string).collect(),
        interface: interface.map(|one| one.name.clone()).unwrap_or_default(),
        place: place.into(),
        message,
        slots: applied.map_or_else(Vec::new, |applied| own_slots(pod, applied)),
    }
}

fn words(place: &Place) -> (&'static str, String) {
    const PAST: &str = "packets go past the host side of the pod's interface: guarded and observed \
                        at the uplink";
    match place {
        Place::Pod(_) => ("pod", String::new()),
        Place::Host => ("uplink", "the pod has the host's network".to_owned()),
        Place::Bypassed { .. } => ("uplink-bypass", PAST.to_owned()),
        Place::Nowhere(why) => ("", why.to_string()),
    }
}

fn own_slots(pod: &PlannedPod, applied: &AppliedTransport) -> Vec<u32> {
    let own = applied.endpoints.iter();
    let own = own.filter(|one| pod.ips.contains(&one.addr));
    own.map(|one| one.slot)
        .filter(|slot| applied.index != Some(*slot))
        .collect()
}
