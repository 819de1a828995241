//! The status of a transport, and what of it must be written how soon.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use stoq_crds::api::{NodeFailure, StatusSummary, StoqTransportStatus};
use stoq_crds::{ConditionType, Conflict, Invalid, Reason, Timestamp};

use crate::aggregate::{Sum, Trouble};
use crate::front_ends::FrontEnds;
use crate::rung::Rung;

/// Longest message of a condition.
const MESSAGE: usize = 1024;

/// Why a transport is not in force.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal<'a> {
    Invalid(&'a Invalid),
    Conflict(&'a Conflict),
}

/// What a status is made of.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) generation: i64,
    pub(crate) refusal: Option<Refusal<'a>>,
    pub(crate) front_ends: &'a FrontEnds,
    pub(crate) pods: usize,
    pub(crate) sum: Sum,
}

/// The status; times of conditions that say the same as `before` stay.
pub(crate) fn build(
    found: Found<'_>,
    before: Option<&StoqTransportStatus>,
    now: Timestamp,
) -> StoqTransportStatus {
    let said = [accepted(&found), ready(&found), degraded(&found)];
    let before = before.map_or(&[][..], |status| &status.conditions);
    let conditions = said.map(|one| one.condition(before, found.generation, now));
    let accepted = found.refusal.is_none();
    StoqTransportStatus {
        observed_generation: Some(found.generation),
        conditions: conditions.into(),
        // Agents guard what is listed here.
        front_ends: match accepted {
            true => found.front_ends.list.clone(),
            false => Vec::new(),
        },
        pods: Some(found.pods as i64),
        summary: accepted.then(|| StatusSummary {
            nodes: format!("{}/{}", found.sum.counts.ready, found.sum.counts.desired),
            mode: mode(&found.sum).to_owned(),
        }),
        nodes: accepted.then_some(found.sum.counts),
        traffic: found.sum.traffic.as_ref().map(|traffic| traffic.show()),
        failures: found.sum.failures,
    }
}

/// What silent nodes had attached is still in force, so nothing is no word for it.
fn mode(sum: &Sum) -> &'static str {
    match sum.rung {
        Some(rung) => rung.as_str(),
        None if sum.count(Trouble::Silent) > 0 => "Unknown",
        None => Rung::None.as_str(),
    }
}

/// A condition before it has a time.
struct Said {
    about: ConditionType,
    status: &'static str,
    reason: String,
    message: String,
}

impl Said {
    fn new(about: ConditionType, status: &'static str, reason: Reason, message: String) -> Self {
        Self {
            about,
            status,
            reason: reason.as_str().to_owned(),
            message,
        }
    }

    fn condition(self, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let type_ = self.about.as_str().to_owned();
        let mut same =
            { before.iter() }.filter(|one| one.type_ == type_ && one.status == self.status);
        Condition {
            last_transition_time: { same.next() }
                .map_or(Time(now), |one| one.last_transition_time.clone()),
            type_,
            status: self.status.to_owned(),
            reason: self.reason,
            message: cut(self.message),
            observed_generation: Some(generation),
        }
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE {
        message.truncate(message.floor_char_boundary(MESSAGE));
    }
    message
}

fn accepted(found: &Found<'_>) -> Said {
    let about = ConditionType::Accepted;
    match found.refusal {
        Some(Refusal::Invalid(invalid)) => {
            Said::new(about, "False", Reason::Invalid, invalid.to_string())
        }
        Some(Refusal::Conflict(conflict)) => {
            Said::new(about, "False", Reason::Conflict, conflict.to_string())
        }
        None => Said::new(about, "True", Reason::Accepted, in_force(found.front_ends)),
    }
}

fn in_force(front_ends: &FrontEnds) -> String {
    let listed = front_ends.list.len();
    match front_ends.left_out {
        0 => "valid, and no older transport claims its endpoints".to_owned(),
        n => format!(
            "valid, but {n} of {} front ends are not guarded at the uplinks: at most {listed} can be",
            n + listed
        ),
    }
}

fn ready(found: &Found<'_>) -> Said {
    let about = ConditionType::Ready;
    if let Some(refusal) = found.refusal {
        return Said::new(about, "False", reason(refusal), "not accepted".to_owned());
    }
    let sum = &found.sum;
    let silent = sum.count(Trouble::Silent);
    let desired = sum.counts.desired;
    if let Some(worst) = &sum.wanting {
        let example = example(worst);
        let not_ready = desired - sum.counts.ready;
        let message = format!("{not_ready} of {desired} nodes are not ready: {example}");
        let reason = match sum.count(Trouble::Lacking) {
            0 => Reason::Pending,
            _ => Reason::NotReady,
        };
        return Said::new(about, "False", reason, message);
    }
    if silent > 0 {
        let example = sum.failures.first().map_or_else(String::new, example);
        let message = format!("nothing is known of {silent} of {desired} nodes: {example}");
        return Said::new(about, "Unknown", Reason::Silent, message);
    }
    let message = match desired {
        0 => "no selected pod runs".to_owned(),
        _ => format!("in force on all {desired} nodes"),
    };
    Said::new(about, "True", Reason::Ready, message)
}

fn degraded(found: &Found<'_>) -> Said {
    let about = ConditionType::Degraded;
    if let Some(refusal) = found.refusal {
        return Said::new(about, "False", reason(refusal), "not accepted".to_owned());
    }
    let desired = found.sum.counts.desired;
    if let Some((worst, how_many)) = &found.sum.degraded {
        let worst_of = example(worst);
        return Said {
            about,
            status: "True",
            reason: worst.reason.clone(),
            message: format!(
                "{how_many} of {desired} nodes are on a lower rung than preferred: {worst_of}"
            ),
        };
    }
    let silent = found.sum.count(Trouble::Silent);
    if silent > 0 {
        let message = format!("nothing is known of {silent} of {desired} nodes");
        return Said::new(about, "Unknown", Reason::Silent, message);
    }
    let message = "no node is on a lower rung than preferred".to_owned();
    Said::new(about, "False", Reason::AsPreferred, message)
}

fn reason(refusal: Refusal<'_>) -> Reason {
    match refusal {
        Refusal::Invalid(_) => Reason::Invalid,
        Refusal::Conflict(_) => Reason::Conflict,
    }
}

/// The worst node speaks for the others.
fn example(worst: &NodeFailure) -> String {
    let NodeFailure {
        node,
        reason,
        message,
        ..
    } = worst;
    match message.is_empty() {
        true => format!("{node}: {reason}"),
        false => format!("{node}: {reason}: {message}"),
    }
}

/// How soon a status must be written that differs from the one there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Urgency {
    /// Something else than numbers.
    State,
    /// Figures of the traffic.
    Traffic,
    /// Only how old they are.
    Age,
}

/// `None` if there is nothing to write.
pub(crate) fn urgency(
    there: Option<&StoqTransportStatus>,
    wanted: &StoqTransportStatus,
) -> Option<Urgency> {
    let Some(there) = there else {
        return Some(Urgency::State);
    };
    if there == wanted {
        return None;
    }
    let without = |status: &StoqTransportStatus| StoqTransportStatus {
        traffic: None,
        ..status.clone()
    };
    if without(there) != without(wanted) {
        return Some(Urgency::State);
    }
    match (&there.traffic, &wanted.traffic) {
        (Some(a), Some(b)) if a.sampled_at != b.sampled_at => {
            let mut same_age = a.clone();
            same_age.sampled_at = b.sampled_at.clone();
            Some(if same_age == *b {
                Urgency::Age
            } else {
                Urgency::Traffic
            })
        }
        _ => Some(Urgency::Traffic),
    }
}

#[cfg(test)]
mod tests;
