//! Which endpoints a pod may have a socket for, and what the last pass did about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use stoq_crds::ObjectName;
use stoq_ebpf::broker::Reason;
use stoq_ebpf::relay::Relay;

use crate::hooks::Slot;
use crate::plan::{Plan, Role, Seat};
use crate::relays::Relays;
use crate::report::HeldSlots;

/// By endpoint.
pub type Offers = BTreeMap<SocketAddr, Offer>;

/// What there is for one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `namespace/name` of its transport.
    pub transport: String,
    /// Fingerprint of its pod.
    pub owner: u64,
    /// Its pod, whose processes may ask by the pod's own socket.
    pub pod: ObjectName,
    /// Users whose processes may ask by the node's, and root.
    pub users: BTreeSet<u32>,
    /// The largest MTU of the uplinks, bytes.
    pub mtu: u32,
    /// Why there is no socket to be had now, for programs and for people.
    pub closed: Option<(Reason, String)>,
    /// Its relay, if one was asked for, or why there is none.
    pub relay: Option<Result<Relay, String>>,
    /// Whether its packets are sent there.
    pub steered: bool,
}

/// What a pass came to. `no_sockets`: why the node has no AF_XDP sockets at all, if it has none.
pub fn offers(
    plan: &Plan,
    held: &HeldSlots,
    relays: &Relays,
    no_sockets: Option<String>,
) -> Offers {
    let no_way = no_sockets.or_else(|| no_xdp(plan, held));
    let each = plan.seats.iter().map(|(endpoint, seat)| {
        let closed = closed(seat, no_way.as_ref());
        let offer = Offer {
            transport: seat.transport.to_string(),
            owner: seat.owner,
            pod: seat.pod.clone(),
            users: seat.users.clone(),
            mtu: plan.uplink_mtu(),
            steered: seat.steered && closed.is_none(),
            closed,
            relay: relay(*endpoint, held, relays),
        };
        (*endpoint, offer)
    });
    each.collect()
}

/// A relay without its program leads nowhere.
fn relay(endpoint: SocketAddr, held: &HeldSlots, relays: &Relays) -> Option<Result<Relay, String>> {
    let relay = match relays.get(endpoint)? {
        Ok(relay) => relay,
        Err(error) => return Some(Err(format!("no relay: {error}"))),
    };
    let held = held.get(&(relay.far.index, Slot::Relay))?;
    if held.attached.is_some() {
        return Some(Ok(relay.clone()));
    }
    let mut refused = held
        .attempts
        .iter()
        .filter_map(|one| one.outcome.as_ref().err());
    let words = refused.next().map_or("", |(_, words)| words);
    Some(Err(format!("no XDP on a relay: {words}")))
}

fn closed(seat: &Seat, no_way: Option<&String>) -> Option<(Reason, String)> {
    if !seat.wanted {
        let text = format!("afXdp is Disabled in transport {}", seat.transport);
        return Some((Reason::Disabled, text));
    }
    if seat.at_uplink {
        let text = "NoAdmission: its packets do not come by an interface of the pod's own";
        return Some((Reason::NotSupported, text.to_owned()));
    }
    no_way.map(|words| (Reason::NotSupported, words.clone()))
}

/// Why no uplink sends anything to relays, if none does.
fn no_xdp(plan: &Plan, held: &HeldSlots) -> Option<String> {
    match uplinks(plan, held) {
        Uplinks::Attached => None,
        Uplinks::Refused(words) => Some(words),
        Uplinks::Untried => Some("no uplink with XDP".to_owned()),
    }
}

/// What came of putting XDP on the uplinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uplinks {
    /// It is on one at least.
    Attached,
    /// None took it: what the first said.
    Refused(String),
    /// Nothing asks for it.
    Untried,
}

/// Whether an uplink sends anything to relays.
pub fn uplinks(plan: &Plan, held: &HeldSlots) -> Uplinks {
    let uplinks = plan.interfaces.iter();
    let uplinks = uplinks.filter(|(_, wanted)| matches!(wanted.role, Role::Uplink { .. }));
    let slots = uplinks.filter_map(|(index, _)| held.get(&(*index, Slot::UplinkXdp)));
    let slots: Vec<_> = slots.collect();
    if slots.iter().any(|held| held.attached.is_some()) {
        return Uplinks::Attached;
    }
    let mut refused = slots.iter().flat_map(|held| {
        let words = held
            .attempts
            .iter()
            .filter_map(|one| one.outcome.as_ref().err());
        words.map(|(reason, words)| format!("no XDP on {}: {reason}: {words}", held.interface))
    });
    refused.next().map_or(Uplinks::Untried, Uplinks::Refused)
}
