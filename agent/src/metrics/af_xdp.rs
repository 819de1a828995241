//! Sessions of pods with AF_XDP sockets, by transport.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use stoq_crds::ObjectName;
use stoq_ebpf::relay::Traffic;

use super::families::{Families, Labels};
use super::registry::{
    AF_XDP_DROPPED, AF_XDP_EVENTS, AF_XDP_MEMORY, AF_XDP_PACKETS, AF_XDP_SESSIONS,
};
use crate::broker::{Events, Sessions};

/// What there is of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AfXdp {
    /// By transport.
    pub transports: BTreeMap<ObjectName, Share>,
    /// What became of sessions so far.
    pub events: Events,
}

/// One transport's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Sessions now.
    pub sessions: u64,
    /// Bytes of their UMEMs.
    pub memory: u64,
    /// What came out of its pods' relays.
    pub traffic: Traffic,
}

impl AfXdp {
    /// Sums up; `name` is an endpoint's transport.
    pub fn of(
        sessions: &Sessions,
        traffic: &BTreeMap<SocketAddr, Traffic>,
        name: impl Fn(&SocketAddr) -> Option<ObjectName>,
    ) -> Self {
        let mut sum = Self {
            events: sessions.events().clone(),
            ..Self::default()
        };
        for (endpoint, memory) in sessions.each() {
            if let Some(name) = name(&endpoint) {
                let share = sum.transports.entry(name).or_default();
                share.sessions += 1;
                share.memory += memory;
            }
        }
        for (endpoint, traffic) in traffic {
            if let Some(name) = name(endpoint) {
                let share = sum.transports.entry(name).or_default();
                share.traffic.packets += traffic.packets;
                share.traffic.dropped += traffic.dropped;
            }
        }
        sum
    }
}

pub(super) fn add(families: &mut Families, from: &AfXdp) {
    for (name, share) in &from.transports {
        let scope: Labels = vec![
            ("namespace", name.namespace.clone()),
            ("transport", name.name.clone()),
        ];
        let Traffic { packets, dropped } = share.traffic;
        for (family, value) in [
            (&AF_XDP_SESSIONS, share.sessions),
            (&AF_XDP_MEMORY, share.memory),
            (&AF_XDP_PACKETS, packets.saturating_sub(dropped)),
        ] {
            families.number(family, &scope, &[], value as f64);
        }
        families.number(&AF_XDP_DROPPED, &scope, &["no_room"], dropped as f64);
    }
    for ((event, why), count) in &from.events {
        let why = why.map_or_else(String::new, |why| format!("{why:?}"));
        families.number(
            &AF_XDP_EVENTS,
            &Labels::new(),
            &[event.as_str(), &why],
            *count as f64,
        );
    }
}
