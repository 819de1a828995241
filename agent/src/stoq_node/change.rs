//! What is worth an event: that a rung is another one.

use stoq_crds::api::{NodeInterface, NodeTransport, StoqNodeStatus};

use super::{LADDER, rung};

/// A rung that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Namespace and name of the transport it is about; `None` for an uplink.
    pub transport: Option<(String, String)>,
    /// Whether the new one is lower.
    pub lower: bool,
    /// Stable reason of the new one.
    pub reason: String,
    /// From what to what, for programs.
    pub action: String,
    /// All of it, for people.
    pub note: String,
}

/// Those between two reports. What comes new or goes is no change.
#[must_use]
pub fn changes(before: &StoqNodeStatus, after: &StoqNodeStatus) -> Vec<Change> {
    let interfaces = after.interfaces.iter().filter_map(|now| {
        let was = before.interfaces.iter().find(|was| was.name == now.name)?;
        interface(was, now)
    });
    let transports = after.transports.iter().filter_map(|now| {
        let same = |was: &&NodeTransport| was.namespace == now.namespace && was.name == now.name;
        transport(before.transports.iter().find(same)?, now)
    });
    interfaces.chain(transports).collect()
}

fn interface(was: &NodeInterface, now: &NodeInterface) -> Option<Change> {
    let (from, to) = (best(was), best(now));
    let subject = format!("uplink {}", now.name);
    changed(&subject, (from, to), (&now.reason, &now.message)).map(|change| Change {
        transport: None,
        ..change
    })
}

fn transport(was: &NodeTransport, now: &NodeTransport) -> Option<Change> {
    let subject = format!("transport {}/{}", now.namespace, now.name);
    let why = (now.reason.as_str(), now.message.as_str());
    changed(&subject, (&was.mode, &now.mode), why).map(|change| Change {
        transport: Some((now.namespace.clone(), now.name.clone())),
        ..change
    })
}

fn best(interface: &NodeInterface) -> &'static str {
    let rungs = interface.attached.iter().map(|one| rung(&one.mode));
    LADDER[rungs.min().unwrap_or(LADDER.len() - 1)]
}

fn changed(subject: &str, (from, to): (&str, &str), why: (&str, &str)) -> Option<Change> {
    let (reason, message) = why;
    let words = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    (from != to).then(|| Change {
        transport: None,
        lower: rung(to) > rung(from),
        reason: if reason.is_empty() { to } else { reason }.to_owned(),
        action: format!("{from}To{to}"),
        note: format!("{subject}: {from} -> {to}{words}"),
    })
}
