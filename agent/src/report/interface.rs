//! Interfaces: what is attached, and what refused.

use stoq_ebpf::attach::Mode;

use super::Pass;
use crate::hooks::{Held, Slot};
use crate::plan::{Role, Wanted};
use crate::status::{AttachedStatus, InterfaceStatus};

/// Every interface of the plan, by name.
pub(super) fn all(pass: &Pass<'_>) -> Vec<InterfaceStatus> {
    let planned = pass.plan.interfaces.iter();
    let mut all: Vec<_> = planned
        .map(|(index, wanted)| status(wanted, &held_on(pass, *index)))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn held_on<'a>(pass: &Pass<'a>, interface: u32) -> Vec<(Slot, &'a Held)> {
    let here = pass.held.iter().filter(|((at, _), _)| *at == interface);
    here.map(|((_, slot), held)| (*slot, held)).collect()
}

fn status(wanted: &Wanted, held: &[(Slot, &Held)]) -> InterfaceStatus {
    let (reason, message) = refused(held).unwrap_or_default();
    let role = match wanted.role {
        Role::Pod => "pod",
        Role::Relay => "relay",
        Role::Uplink { .. } => "uplink",
    };
    let programs = held.iter();
    InterfaceStatus {
        name: wanted.name.clone(),
        role: role.into(),
        mtu: wanted.mtu,
        attached: { programs }
            .filter_map(|(slot, held)| attached(*slot, held))
            .collect(),
        reason,
        message,
    }
}

/// The first refusal, after its rung.
fn refused(held: &[(Slot, &Held)]) -> Option<(String, String)> {
    let mut attempts = held.iter().flat_map(|(_, one)| &one.attempts);
    attempts.find_map(|attempt| {
        let (reason, words) = attempt.outcome.as_ref().err()?;
        Some((reason.to_string(), format!("{:?}: {words}", attempt.mode)))
    })
}

fn attached(slot: Slot, held: &Held) -> Option<AttachedStatus> {
    let (_, attached) = held.attached.as_ref()?;
    Some(AttachedStatus {
        program: slot.program().into(),
        hook: hook(slot, attached.mode).into(),
        mode: format!("{:?}", attached.mode),
        program_id: attached.program_id,
    })
}

fn hook(slot: Slot, mode: Mode) -> &'static str {
    match (slot, mode) {
        (_, Mode::Native | Mode::Generic) => "xdp",
        (Slot::UplinkIn | Slot::PodOut, Mode::Tcx) => "tcx-ingress",
        (Slot::UplinkIn | Slot::PodOut, _) => "clsact-ingress",
        (_, Mode::Tcx) => "tcx-egress",
        _ => "clsact-egress",
    }
}
