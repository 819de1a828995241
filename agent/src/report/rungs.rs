//! What every rung of a transport's ladder came to, over all interfaces that it needs.

use stoq_ebpf::attach::Mode;
use stoq_ebpf::attach::ladder::{Attempt, ladder};
use stoq_ebpf::capability::Reason;

use super::{HeldSlots, Pass};
use crate::hooks::Slot;
use crate::plan::{Place, Plan, PlannedTransport, Role};

/// By rung, best first: taken if every interface is on it or on a better one.
pub(super) fn attempts(pass: &Pass<'_>, planned: &PlannedTransport) -> Vec<Attempt> {
    let uplinks = uplinks(pass.plan);
    let (xdp, tc) = (xdp_slots(&uplinks), tc_slots(planned, &uplinks));
    let rungs = ladder(planned.xdp).iter().map(|mode| Attempt {
        mode: *mode,
        outcome: match mode {
            Mode::Native | Mode::Generic if uplinks.is_empty() => no_uplink(),
            Mode::Native | Mode::Generic => rung(pass.held, &xdp, *mode),
            _ => rung(pass.held, &tc, *mode),
        },
    });
    rungs.collect()
}

type Outcome = Result<(), (Reason, String)>;

fn uplinks(plan: &Plan) -> Vec<u32> {
    let all = plan.interfaces.iter();
    let uplinks = all.filter(|(_, wanted)| matches!(wanted.role, Role::Uplink { .. }));
    uplinks.map(|(index, _)| *index).collect()
}

fn no_uplink() -> Outcome {
    Err((Reason::NoUplink, "no uplink on this node".to_owned()))
}

fn xdp_slots(uplinks: &[u32]) -> Vec<(u32, Slot)> {
    let each = uplinks.iter();
    each.map(|index| (*index, Slot::UplinkXdp)).collect()
}

/// Where the transport's endpoints are guarded and observed below XDP; without any, its front ends.
fn tc_slots(planned: &PlannedTransport, uplinks: &[u32]) -> Vec<(u32, Slot)> {
    let pair = |index: u32, slots: [Slot; 2]| slots.map(|slot| (index, slot));
    if !planned.has_pods_here() {
        let each = uplinks.iter();
        return each
            .flat_map(|index| pair(*index, [Slot::UplinkIn, Slot::UplinkOut]))
            .collect();
    }
    let each = planned.pods.iter().flat_map(|pod| match pod.place {
        Place::Pod(index) => pair(index, [Slot::PodIn, Slot::PodOut]).to_vec(),
        Place::Host | Place::Bypassed { .. } => { uplinks.iter() }
            .flat_map(|index| pair(*index, [Slot::UplinkIn, Slot::UplinkOut]))
            .collect(),
        Place::Nowhere(_) => Vec::new(),
    });
    each.collect()
}

/// Why connections of some endpoints are not seen: a program that observes them is nowhere.
pub(super) fn blind(pass: &Pass<'_>, planned: &PlannedTransport) -> Option<(Reason, String)> {
    let slots = tc_slots(planned, &uplinks(pass.plan)).into_iter();
    let mut held = slots.filter_map(|key| Some((key.1, pass.held.get(&key)?)));
    let (slot, held) = held.find(|(_, held)| held.attached.is_none())?;
    let refused = held.attempts.iter().rev();
    let mut refused = refused.filter_map(|attempt| attempt.outcome.as_ref().err());
    let (reason, words) = refused.next()?;
    let (program, interface) = (slot.program(), &held.interface);
    let message =
        format!("{interface}: connections are not seen, {program} is not attached: {words}");
    Some((*reason, message))
}

/// The first slot that is on a lower rung speaks for all.
fn rung(held: &HeldSlots, slots: &[(u32, Slot)], mode: Mode) -> Outcome {
    // What is not held is not needed: XDP does its work.
    let needed = slots.iter().filter_map(|key| held.get(key));
    let lower = |attached: Option<Mode>| attached.is_none_or(|attached| attached > mode);
    let mut below = needed.filter(|held| lower(held.attached.map(|(_, found)| found.mode)));
    let Some(held) = below.next() else {
        return Ok(());
    };
    let tried = held.attempts.iter().find(|attempt| attempt.mode == mode);
    let refused = tried.and_then(|attempt| attempt.outcome.clone().err());
    let (reason, words) =
        refused.unwrap_or((Reason::NotSupported, format!("{mode:?} is not attached")));
    Err((reason, format!("{}: {words}", held.interface)))
}
