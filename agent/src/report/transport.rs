//! Transports: the rung in force, and why not a better one.

use stoq_crds::Policy;
use stoq_ebpf::attach::Mode;
use stoq_ebpf::attach::ladder::{Effective, effective};
use stoq_ebpf::capability::Reason;
use stoq_ebpf::tables::AppliedTransport;

use super::{Pass, pod, rungs};
use crate::plan::PlannedTransport;
use crate::status::{AfXdpStatus, TransportStatus};

pub(super) fn status(pass: &Pass<'_>, planned: &PlannedTransport) -> TransportStatus {
    let name = planned.name.to_string();
    let applied = pass.applied.transports.iter().find(|one| one.name == name);
    let found = found(pass, planned);
    TransportStatus {
        mode: format!("{:?}", found.mode),
        reason: found.reason.to_string(),
        message: found.message,
        ready: found.ready,
        degraded: found.degraded,
        ..identity(pass, planned, applied)
    }
}

fn identity(
    pass: &Pass<'_>,
    planned: &PlannedTransport,
    applied: Option<&AppliedTransport>,
) -> TransportStatus {
    let pods = planned.pods.iter();
    let name = planned.name.to_string();
    TransportStatus {
        namespace: planned.name.namespace.clone(),
        name: planned.name.name.clone(),
        generation: planned.generation,
        accepted: planned.conflict.is_none(),
        tier: format!("{:?}", planned.tier),
        index: applied.and_then(|one| one.index),
        slots: applied.map_or_else(Vec::new, |one| one.slots().collect()),
        front_ends: front_ends(pass, &name),
        af_xdp: af_xdp(pass, &name),
        pods: pods
            .map(|one| pod::status(pass.plan, one, applied))
            .collect(),
        ..TransportStatus::default()
    }
}

fn front_ends(pass: &Pass<'_>, name: &str) -> u32 {
    let mut desired = pass.plan.desired.transports.iter();
    let desired = desired.find(|one| one.name == name);
    desired.map_or(0, |one| {
        u32::try_from(one.front_ends.len()).unwrap_or(u32::MAX)
    })
}

fn af_xdp(pass: &Pass<'_>, name: &str) -> AfXdpStatus {
    let mut status = AfXdpStatus::default();
    for offer in pass.offers.values().filter(|one| one.transport == name) {
        status.relays += u32::from(matches!(offer.relay, Some(Ok(_))));
        status.steered += u32::from(offer.steered);
        let refused = offer.relay.as_ref().and_then(|relay| relay.as_ref().err());
        let why = { offer.closed.as_ref() }
            .map(|(_, words)| words)
            .or(refused);
        if status.message.is_empty()
            && let Some(why) = why
        {
            status.message.clone_from(why);
        }
    }
    status
}

fn found(pass: &Pass<'_>, planned: &PlannedTransport) -> Effective {
    if let Some(conflict) = &planned.conflict {
        return nothing(Reason::Conflict, conflict.clone(), false);
    }
    if let Some((reason, words)) = &pass.failed {
        return nothing(*reason, words.clone(), false);
    }
    if pass.plan.paused {
        let message = "spec.paused of this node's StoqNode is true";
        return nothing(Reason::Paused, message.to_owned(), false);
    }
    if planned.pods.is_empty() && !planned.is_here() {
        // Nothing to do is not a fault.
        let message = "no pod of this node is selected";
        return nothing(Reason::None, message.to_owned(), true);
    }
    if !planned.pods.is_empty() && !planned.has_pods_here() {
        let message = "no selected pod has an interface";
        return nothing(Reason::None, message.to_owned(), false);
    }
    let found = effective(planned.xdp, &rungs::attempts(pass, planned));
    match rungs::blind(pass, planned) {
        Some((reason, message)) if found.mode != Mode::None => Effective {
            mode: found.mode,
            reason,
            message,
            degraded: true,
            ready: false,
        },
        _ => with_sockets(pass, planned, found),
    }
}

/// Where AF_XDP is required and none of the endpoints could have it, the transport is not ready.
fn with_sockets(pass: &Pass<'_>, planned: &PlannedTransport, found: Effective) -> Effective {
    let name = planned.name.to_string();
    let own = pass.offers.values().filter(|offer| offer.transport == name);
    let closed: Option<Vec<_>> = own.map(|offer| offer.closed.as_ref()).collect();
    let why = closed.and_then(|closed| closed.first().copied());
    match why {
        Some((_, words)) if planned.af_xdp == Policy::Require => Effective {
            mode: found.mode,
            reason: Reason::NoSocket,
            message: words.clone(),
            degraded: true,
            ready: false,
        },
        _ => found,
    }
}

fn nothing(reason: Reason, message: String, ready: bool) -> Effective {
    Effective {
        mode: Mode::None,
        reason,
        message,
        degraded: false,
        ready,
    }
}
