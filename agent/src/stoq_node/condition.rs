//! The condition Ready.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use stoq_crds::api::{NodeTransport, StoqNodeStatus};
use stoq_crds::{ConditionType, Reason};

use super::{MESSAGE, shortened};
use crate::status::Status;

pub(super) fn all(
    status: &Status,
    transports: &[NodeTransport],
    previous: Option<&StoqNodeStatus>,
    now: &Time,
) -> Vec<Condition> {
    let (ready, reason, message) = ready(status, transports);
    let mut before = previous.iter().flat_map(|one| &one.conditions);
    let type_ = ConditionType::Ready.as_str();
    let status_word = if ready { "True" } else { "False" };
    let same = before.find(|one| one.type_ == type_ && one.status == status_word);
    let since = same.map(|one| one.last_transition_time.clone());
    vec![Condition {
        type_: type_.to_owned(),
        status: status_word.to_owned(),
        reason: reason.as_str().to_owned(),
        message: shortened(&message, MESSAGE),
        observed_generation: status.node_generation,
        last_transition_time: since.unwrap_or_else(|| now.clone()),
    }]
}

fn ready(status: &Status, transports: &[NodeTransport]) -> (bool, Reason, String) {
    if status.paused {
        let message = "spec.paused is true: nothing of STOQ is attached on this node";
        return (false, Reason::Paused, message.to_owned());
    }
    let mut unready = transports.iter().filter(|one| !one.ready);
    let Some(first) = unready.next() else {
        let message = "every transport with pods or front ends here does what it requires";
        return (true, Reason::Ready, message.to_owned());
    };
    let (name, why) = (format!("{}/{}", first.namespace, first.name), &first.reason);
    let others = match unready.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let message = format!("transport {name}: {why}: {}{others}", first.message);
    (false, Reason::NotReady, message)
}
