//! From the plan and what became of it to the [`Status`].

use std::collections::BTreeMap;

use stoq_ebpf::attach::Mode;
use stoq_ebpf::attach::ladder::{Attempt, Effective, effective, ladder};
use stoq_ebpf::capability::{Gate, Reason, State};
use stoq_ebpf::tables::{Applied, AppliedTransport};

use crate::hooks::{Held, Slot};
use crate::plan::{Place, Plan, PlannedPod, PlannedTransport, Role};
use crate::status::{
    AttachedStatus, GateStatus, InterfaceStatus, PodStatus, Status, TransportStatus,
};

/// What is held at every slot, by interface index.
pub type HeldSlots = BTreeMap<(u32, Slot), Held>;

/// What a pass came to.
pub struct Pass<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the maps hold of it.
    pub applied: &'a Applied,
    /// What the hooks hold of it.
    pub held: &'a HeldSlots,
    /// Why it failed as a whole, if it did.
    pub failed: Option<(Reason, String)>,
    /// What is wrong with the input.
    pub problems: Vec<String>,
}

/// The status after a pass.
pub fn report(pass: &Pass<'_>, gates: &[GateStatus], kernel: &str) -> Status {
    let mut problems = pass.problems.clone();
    let missing = pass.plan.missing_uplinks.iter();
    problems.extend(missing.map(|name| format!("uplink {name}: no such interface")));
    problems.extend(
        pass.failed
            .iter()
            .map(|(reason, words)| format!("{reason}: {words}")),
    );
    let refusals = pass.applied.transports.iter();
    problems.extend(refusals.flat_map(|one| {
        one.refusals
            .iter()
            .map(move |refusal| format!("transport {}: {refusal}", one.name))
    }));
    Status {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        kernel: kernel.into(),
        gates: gates.to_vec(),
        interfaces: interfaces(pass),
        transports: pass
            .plan
            .transports
            .iter()
            .map(|one| transport(pass, one))
            .collect(),
        problems,
    }
}

/// A gate of the node, or of the interface of this name, for the status.
pub fn gate_status(gate: &Gate, interface: &str) -> GateStatus {
    let (state, reason, message) = match &gate.state {
        State::Available => ("Available", String::new(), String::new()),
        State::Unavailable { reason, message } => {
            ("Unavailable", reason.to_string(), message.clone())
        }
        State::Unknown { reason, message } => ("Unknown", reason.to_string(), message.clone()),
    };
    let (name, interface) = (gate.name.to_owned(), interface.to_owned());
    GateStatus {
        name,
        interface,
        state: state.into(),
        reason,
        message,
    }
}

fn interfaces(pass: &Pass<'_>) -> Vec<InterfaceStatus> {
    let mut all: Vec<_> = pass
        .plan
        .interfaces
        .iter()
        .map(|(index, wanted)| {
            let held: Vec<_> = pass
                .held
                .iter()
                .filter(|((at, _), _)| at == index)
                .map(|((_, slot), held)| (*slot, held))
                .collect();
            let refused = held
                .iter()
                .flat_map(|(_, one)| &one.attempts)
                .find_map(|attempt| {
                    let (reason, words) = attempt.outcome.as_ref().err()?;
                    Some((reason.to_string(), format!("{:?}: {words}", attempt.mode)))
                });
            let (reason, message) = refused.unwrap_or_default();
            let role = if wanted.role == Role::Pod {
                "pod"
            } else {
                "uplink"
            };
            InterfaceStatus {
                name: wanted.name.clone(),
                role: role.into(),
                mtu: wanted.mtu,
                attached: held
                    .iter()
                    .filter_map(|(slot, held)| attached(*slot, held))
                    .collect(),
                reason,
                message,
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn attached(slot: Slot, held: &Held) -> Option<AttachedStatus> {
    let (kind, attached) = held.attached.as_ref()?;
    let hook = match (slot, attached.mode) {
        (_, Mode::Native | Mode::Generic) => "xdp",
        (Slot::UplinkIn | Slot::PodOut, Mode::Tcx) => "tcx-ingress",
        (Slot::UplinkIn | Slot::PodOut, _) => "clsact-ingress",
        (_, Mode::Tcx) => "tcx-egress",
        _ => "clsact-egress",
    };
    Some(AttachedStatus {
        program: slot.program().into(),
        hook: hook.into(),
        mode: format!("{:?}", kind.mode()),
        program_id: attached.program_id,
    })
}

fn transport(pass: &Pass<'_>, planned: &PlannedTransport) -> TransportStatus {
    let name = planned.name.to_string();
    let applied = pass.applied.transports.iter().find(|one| one.name == name);
    let mut status = TransportStatus {
        namespace: planned.name.namespace.clone(),
        name: planned.name.name.clone(),
        accepted: planned.conflict.is_none(),
        tier: format!("{:?}", planned.tier),
        index: applied.and_then(|one| one.index),
        slots: applied.map(|one| one.slots().collect()).unwrap_or_default(),
        pods: planned
            .pods
            .iter()
            .map(|pod| pod_status(pass, pod, applied))
            .collect(),
        mode: format!("{:?}", Mode::None),
        ..TransportStatus::default()
    };
    if let Some(conflict) = &planned.conflict {
        (status.reason, status.message) = (Reason::Conflict.to_string(), conflict.clone());
        return status;
    }
    let (reason, message) = match &pass.failed {
        Some((reason, words)) => (reason.to_string(), words.clone()),
        None if !planned.pods.iter().any(has_place) => {
            // No pod here: nothing to do is not a fault.
            status.ready = planned.pods.is_empty();
            let message = if planned.pods.is_empty() {
                "no pod of this node is selected"
            } else {
                "no selected pod has an interface"
            };
            (Reason::None.to_string(), message.to_owned())
        }
        None => {
            let found = effective(planned.xdp, &attempts(pass, planned));
            fill(&mut status, &found);
            (found.reason.to_string(), found.message)
        }
    };
    (status.reason, status.message) = (reason, message);
    status
}

fn fill(status: &mut TransportStatus, found: &Effective) {
    status.mode = format!("{:?}", found.mode);
    status.ready = found.ready;
    status.degraded = found.degraded;
}

fn has_place(pod: &PlannedPod) -> bool {
    !matches!(pod.place, Place::Nowhere(_))
}

/// What every rung of the transport's ladder came to, over all interfaces it needs: a rung is
/// taken if each of them is on it or a better one.
fn attempts(pass: &Pass<'_>, planned: &PlannedTransport) -> Vec<Attempt> {
    let uplinks: Vec<u32> = pass
        .plan
        .interfaces
        .iter()
        .filter(|(_, wanted)| wanted.role != Role::Pod)
        .map(|(index, _)| *index)
        .collect();
    let mut slots = Vec::new();
    for pod in &planned.pods {
        match pod.place {
            Place::Pod(index) => slots.extend([(index, Slot::PodIn), (index, Slot::PodOut)]),
            Place::Host | Place::Bypassed { .. } => {
                slots.extend(
                    uplinks
                        .iter()
                        .flat_map(|index| [(*index, Slot::UplinkIn), (*index, Slot::UplinkOut)]),
                );
            }
            Place::Nowhere(_) => {}
        }
    }
    let xdp_slots: Vec<_> = uplinks
        .iter()
        .map(|index| (*index, Slot::UplinkXdp))
        .collect();
    let rungs = ladder(planned.xdp).iter().map(|mode| {
        let slots = match mode {
            Mode::Native | Mode::Generic => &xdp_slots,
            _ => &slots,
        };
        let none = uplinks.is_empty() && matches!(mode, Mode::Native | Mode::Generic);
        let outcome = if none {
            Err((Reason::NoUplink, "no uplink on this node".to_owned()))
        } else {
            rung(pass, slots, *mode)
        };
        Attempt {
            mode: *mode,
            outcome,
        }
    });
    rungs.collect()
}

fn rung(pass: &Pass<'_>, slots: &[(u32, Slot)], mode: Mode) -> Result<(), (Reason, String)> {
    for key in slots {
        let Some(held) = pass.held.get(key) else {
            // Not needed: XDP does its work.
            continue;
        };
        let better = held
            .attached
            .as_ref()
            .is_some_and(|(_, attached)| attached.mode <= mode);
        if better {
            continue;
        }
        let tried = held.attempts.iter().find(|attempt| attempt.mode == mode);
        let refused = tried.and_then(|attempt| attempt.outcome.clone().err());
        let (reason, words) =
            refused.unwrap_or((Reason::NotSupported, format!("{mode:?} is not attached")));
        return Err((reason, format!("{}: {words}", held.interface)));
    }
    Ok(())
}

fn pod_status(pass: &Pass<'_>, pod: &PlannedPod, applied: Option<&AppliedTransport>) -> PodStatus {
    let name_of = |index: &u32| {
        pass.plan
            .interfaces
            .get(index)
            .map(|one| one.name.clone())
            .unwrap_or_default()
    };
    let (interface, place, message) = match &pod.place {
        Place::Pod(index) => (name_of(index), "pod", String::new()),
        Place::Host => (String::new(), "uplink", "the pod has the host's network".to_owned()),
        Place::Bypassed { interface, .. } => (
            name_of(interface),
            "uplink-bypass",
            "packets go past the host side of the pod's interface: guarded and observed at the uplink"
                .to_owned(),
        ),
        Place::Nowhere(why) => (String::new(), "", why.clone()),
    };
    let endpoints = applied
        .map(|one| one.endpoints.as_slice())
        .unwrap_or_default();
    let own = endpoints.iter().filter(|one| pod.ips.contains(&one.addr));
    PodStatus {
        name: pod.name.to_string(),
        ips: pod.ips.iter().map(ToString::to_string).collect(),
        interface,
        place: place.into(),
        message,
        slots: own
            .map(|one| one.slot)
            .filter(|slot| applied.and_then(|a| a.index) != Some(*slot))
            .collect(),
    }
}
