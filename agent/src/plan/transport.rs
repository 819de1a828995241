//! Transports, their conflicts and their pods.

use std::collections::BTreeMap;

use stoq_crds::{Acceleration, FrontEnd, ObjectName, Pod, Policy, Tier, resolve_conflicts};
use stoq_ebpf::attach::ladder::{self, XdpPolicy};

use super::PlannedPod;
use crate::objects::Objects;

/// A transport and what the plan made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTransport {
    /// Namespace and name.
    pub name: ObjectName,
    /// Generation of the spec.
    pub generation: i64,
    /// Why it takes no part, if so.
    pub conflict: Option<String>,
    /// How much XDP it wants.
    pub xdp: XdpPolicy,
    /// How much AF_XDP it wants.
    pub af_xdp: Policy,
    /// Fineness of its metrics.
    pub tier: Tier,
    /// Whether sources of some of its packets are replaced on their way: the uplinks alone can track their flows. Any
    /// node may get such packets, with pods or without.
    pub masqueraded: bool,
    /// Its pods; none if it takes no part.
    pub pods: Vec<PlannedPod>,
}

impl PlannedTransport {
    /// Whether any of its pods or front ends is guarded here.
    pub fn is_here(&self) -> bool {
        self.masqueraded || self.has_pods_here()
    }

    /// Whether any of its pods is guarded and observed here.
    pub fn has_pods_here(&self) -> bool {
        self.pods.iter().any(PlannedPod::has_place)
    }

    /// Whether any of its pods lives at the uplinks.
    pub fn needs_uplinks(&self) -> bool {
        self.pods.iter().any(|pod| pod.place.needs_uplinks())
    }
}

pub(super) fn planned(
    objects: &Objects,
    place: impl Fn(&Pod) -> PlannedPod,
) -> Vec<PlannedTransport> {
    let mut conflicts = conflicts(objects);
    let each = objects.transports.iter().map(|transport| {
        let mut selected: Vec<_> = { objects.pods.iter() }
            .filter(|pod| transport.selects(pod))
            .collect();
        let refused = objects.refused.get(&transport.name);
        // Only where it would have pods it is this node's affair to tell.
        let told = refused.filter(|_| !selected.is_empty()).cloned();
        let conflict = conflicts.remove(&transport.name).or(told);
        let takes_part = conflict.is_none() && refused.is_none();
        selected.retain(|_| takes_part);
        PlannedTransport {
            name: transport.name.clone(),
            generation: transport.generation,
            pods: selected.into_iter().map(&place).collect(),
            xdp: xdp_policy(&transport.acceleration),
            af_xdp: transport.acceleration.af_xdp,
            tier: transport.tier,
            masqueraded: takes_part
                && !objects.paused
                && transport.front_ends.iter().any(FrontEnd::is_masqueraded),
            conflict,
        }
    });
    each.collect()
}

/// Those among this node's pods. Who is out already disputes nothing.
fn conflicts(objects: &Objects) -> BTreeMap<ObjectName, String> {
    let judged = objects.transports.iter();
    let judged = judged.filter(|one| !objects.refused.contains_key(&one.name));
    let found = resolve_conflicts(judged, &objects.pods);
    let each = found.into_iter();
    each.map(|one| (one.loser.clone(), one.to_string()))
        .collect()
}

fn xdp_policy(acceleration: &Acceleration) -> XdpPolicy {
    XdpPolicy {
        policy: match acceleration.xdp {
            Policy::Require => ladder::Policy::Require,
            Policy::Prefer => ladder::Policy::Prefer,
            Policy::Disabled => ladder::Policy::Disabled,
        },
        native: acceleration.xdp_modes.native,
        generic: acceleration.xdp_modes.generic,
    }
}
