//! The relays on the node, brought to what sessions want.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stoq_ebpf::kernel::after_a_tick;
use stoq_ebpf::relay::{Relay, Traffic};
use stoq_ebpf::sys::KernelError;
use stoq_ebpf::tables::Applied;

use crate::plan::{Role, Wanted};

/// By endpoint.
#[derive(Debug, Default)]
pub struct Relays {
    all: BTreeMap<SocketAddr, Result<Relay, KernelError>>,
    /// Endpoints whose packets are sent into theirs.
    steered: BTreeSet<SocketAddr>,
}

impl Relays {
    /// The endpoint's, or why it has none; `None` if none is wanted.
    pub fn get(&self, endpoint: SocketAddr) -> Option<&Result<Relay, KernelError>> {
        self.all.get(&endpoint)
    }

    /// All that are there.
    pub fn each(&self) -> impl Iterator<Item = (SocketAddr, &Relay)> {
        let all = self.all.iter();
        all.filter_map(|(endpoint, relay)| Some((*endpoint, relay.as_ref().ok()?)))
    }

    /// Notes to which of them the maps send packets now. Where that has ended it waits until it is so: for a tick of
    /// the clock the programs go by what they looked up before.
    pub fn steer(&mut self, steered: BTreeSet<SocketAddr>) {
        let before = std::mem::replace(&mut self.steered, steered);
        if !before.is_subset(&self.steered) {
            after_a_tick();
        }
    }

    /// Makes those that are wanted for endpoints in force, `mtu` bytes wide. One that is as it was is left alone.
    pub fn ensure(&mut self, wanted: &BTreeSet<SocketAddr>, applied: &Applied, mtu: u32) {
        let endpoints = applied.transports.iter().flat_map(|one| &one.endpoints);
        let endpoints = endpoints.map(|one| (SocketAddr::new(one.addr, one.port), one.id));
        let wanted = endpoints.filter(|(endpoint, _)| wanted.contains(endpoint));
        let there = list();
        let mut before = std::mem::take(&mut self.all);
        for (endpoint, id) in wanted {
            let known = before.remove(&endpoint).and_then(Result::ok);
            let unchanged = known.filter(|known| known.far.mtu == mtu && there.contains(known));
            let relay = unchanged.map_or_else(|| made(id, mtu, endpoint), Ok);
            self.all.insert(endpoint, relay);
        }
    }

    /// The programs wanted on them.
    pub fn programs(&self) -> impl Iterator<Item = (u32, Wanted)> {
        self.each().map(|(_, relay)| {
            let wanted = Wanted {
                name: relay.far.name.clone(),
                mtu: relay.far.mtu,
                xdp: BTreeSet::new(),
                role: Role::Relay,
            };
            (relay.far.index, wanted)
        })
    }

    /// Removes those that nobody wants any more, an earlier agent's among them.
    pub fn remove_the_rest(&self) {
        let wanted: BTreeSet<_> = self.each().map(|(_, relay)| relay.near.index).collect();
        for relay in list() {
            if !wanted.contains(&relay.near.index)
                && let Err(error) = relay.remove()
            {
                tracing::warn!(relay = relay.near.name, "not removed: {error}");
            }
        }
    }

    /// What came out of each so far. One that has gone says nothing.
    pub fn traffic(&self) -> impl Iterator<Item = (SocketAddr, u32, Traffic)> {
        self.each().filter_map(|(endpoint, relay)| {
            Some((endpoint, relay.far.index, relay.traffic().ok()?))
        })
    }
}

/// One that loses nothing when its socket has gone.
fn made(id: u32, mtu: u32, endpoint: SocketAddr) -> Result<Relay, KernelError> {
    let relay = Relay::ensure(id, mtu)?;
    relay.hands_over(endpoint.ip())?;
    Ok(relay)
}

/// Nothing taken for so long is too long: a second, by clocks that are not quite exact.
const PATIENCE: Duration = Duration::from_millis(900);

/// What came out of relays, as far as it was looked at.
#[derive(Debug, Default)]
pub struct Watch {
    /// At the last look, by endpoint and device.
    last: BTreeMap<(SocketAddr, u32), Seen>,
    totals: BTreeMap<SocketAddr, Traffic>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    traffic: Traffic,
    /// Nothing of what has come since then was taken.
    starving: Option<Instant>,
}

impl Watch {
    /// Takes a look. Returns the endpoints to which packets have come for a second, and none was
    /// taken. Looks may be close together, and the first after an endpoint was returned shows what
    /// came before its packets went elsewhere: so it is given its second anew.
    pub fn look(&mut self, now: Vec<(SocketAddr, u32, Traffic)>, at: Instant) -> Vec<SocketAddr> {
        let mut stuck = Vec::new();
        let mut last = BTreeMap::new();
        for (endpoint, device, traffic) in now {
            let before = self.last.remove(&(endpoint, device));
            let seen = before.map(|before| before.traffic).unwrap_or_default();
            let packets = traffic.packets.saturating_sub(seen.packets);
            let dropped = traffic.dropped.saturating_sub(seen.dropped);
            let mut starving = before.and_then(|before| before.starving);
            if packets > dropped {
                starving = None;
            } else if packets > 0 {
                starving = starving.or(Some(before.map_or(at, |before| before.at)));
            }
            if packets > 0 && starving.is_some_and(|since| at - since >= PATIENCE) {
                stuck.push(endpoint);
                starving = None;
            }
            let total = self.totals.entry(endpoint).or_default();
            total.packets += packets;
            total.dropped += dropped;
            let seen = Seen {
                at,
                traffic,
                starving,
            };
            last.insert((endpoint, device), seen);
        }
        self.last = last;
        stuck
    }

    /// What came to each endpoint since the agent has been there.
    pub fn totals(&self) -> &BTreeMap<SocketAddr, Traffic> {
        &self.totals
    }

    /// Forgets the totals of endpoints that are no more.
    pub fn keep(&mut self, there: impl Fn(&SocketAddr) -> bool) {
        self.totals.retain(|endpoint, _| there(endpoint));
    }
}

fn list() -> Vec<Relay> {
    Relay::list().unwrap_or_else(|error| {
        tracing::warn!("list relays: {error}");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_is_who_took_none_of_what_came_for_a_second() {
        let endpoint = SocketAddr::from(([10, 0, 0, 1], 1));
        let (mut watch, start) = (Watch::default(), Instant::now());
        for (case, after, device, packets, dropped, stuck) in [
            ("a first look", 0, 7, 0, 0, false),
            ("all was taken", 1000, 7, 10, 0, false),
            ("some was", 2000, 7, 20, 9, false),
            ("none was, for a moment", 2010, 7, 30, 19, false),
            ("nor for another", 2020, 7, 40, 29, false),
            ("nor for a second", 3000, 7, 50, 39, true),
            ("before it went elsewhere", 3005, 7, 60, 49, false),
            ("nothing came any more", 9000, 7, 60, 49, false),
            ("some is taken again", 9100, 7, 70, 50, false),
            ("none was, for a whole look", 10_100, 7, 80, 60, true),
            ("another device", 11_100, 8, 5, 5, false),
        ] {
            let traffic = Traffic { packets, dropped };
            let at = start + Duration::from_millis(after);
            let found = watch.look(vec![(endpoint, device, traffic)], at);
            assert_eq!(found.len(), usize::from(stuck), "{case}");
        }
        let all = Traffic {
            packets: 85,
            dropped: 65,
        };
        assert_eq!(watch.totals()[&endpoint], all);
        watch.keep(|_| false);
        assert!(watch.totals().is_empty());
    }
}
