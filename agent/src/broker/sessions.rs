//! The sessions there are, and who may have one. No effects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stoq_ebpf::af_xdp::{Geometry, Rings};
use stoq_ebpf::broker::{Granted, Hello, Reason, Refused, Resume};

use super::door::Caller;
use super::offers::{Offer, Offers};

/// How long an adopted session is kept for its pod to come back to it.
const COMES_BACK: Duration = Duration::from_secs(10);

/// What pods may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions on the node.
    pub sessions: usize,
    /// Bytes of one UMEM.
    pub session_memory: u64,
    /// Bytes of all of them.
    pub memory: u64,
}

/// What the loop is to see to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Endpoints that need a relay.
    pub relays: BTreeSet<SocketAddr>,
    /// Those of them whose packets are to go there.
    pub steered: BTreeSet<SocketAddr>,
}

/// What became of sessions, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A pod was given a socket.
    Granted,
    /// A pod came back to the session that an earlier agent had granted.
    Resumed,
    /// A pod was refused.
    Refused,
    /// A pod took no frames for a second.
    Stuck,
    /// A session ended.
    Ended,
}

impl Event {
    /// The metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Resumed => "resumed",
            Self::Refused => "refused",
            Self::Stuck => "stuck",
            Self::Ended => "ended",
        }
    }
}

/// A place in the table, taken for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) endpoint: SocketAddr,
    number: u64,
    /// How often the loop had asked before.
    pub(super) asked: u64,
    /// Fingerprint of the pod.
    pub(super) owner: u64,
    pub(super) geometry: Geometry,
    pub(super) rings: Rings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its rings are not primed yet.
    Asking,
    /// It takes frames.
    Ready,
    /// It did, and does no more.
    Stuck,
    /// An earlier agent's, which had granted this, until then.
    Adopted(Granted, Instant),
}

#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    stage: Stage,
    bytes: u64,
}

/// All of them, by endpoint.
#[derive(Debug, Default)]
pub struct Sessions {
    all: BTreeMap<SocketAddr, Session>,
    next: u64,
    /// How often the loop has asked what is wanted.
    asked: u64,
    events: Events,
}

/// How often each came to be; of a refusal, for which reason.
pub type Events = BTreeMap<(Event, Option<Reason>), u64>;

impl Sessions {
    /// Takes a place for a pod's process.
    pub(super) fn admit(
        &mut self,
        hello: &Hello,
        caller: &Caller,
        offers: &Offers,
        limits: &Limits,
    ) -> Result<Ticket, Refused> {
        let offer = may(hello.endpoint, caller, offers)?;
        let geometry = frames_for(offer.mtu, hello.geometry)?;
        let geometry = fit(geometry, limits.session_memory);
        self.room(hello.endpoint, geometry, limits)?;
        Ok(self.take(hello.endpoint, offer.owner, geometry, Stage::Asking))
    }

    /// Takes the place of a session that an earlier agent has granted.
    pub(super) fn resume(
        &mut self,
        resume: &Resume,
        caller: &Caller,
        offers: &Offers,
        limits: &Limits,
    ) -> Result<Ticket, Refused> {
        let offer = may(resume.endpoint, caller, offers)?;
        let geometry = resume.granted.geometry;
        let there = self.all.get(&resume.endpoint).map(|one| one.stage);
        let known = match there {
            Some(Stage::Adopted(granted, _)) => granted == resume.granted,
            // One that has come back already.
            there => there.is_some(),
        };
        if !known {
            let text = format!("{} has no such session", resume.endpoint);
            return Err(refused(Reason::NoEndpoint, text));
        }
        self.room(resume.endpoint, geometry, limits)?;
        Ok(self.take(resume.endpoint, offer.owner, geometry, Stage::Ready))
    }

    /// An earlier agent's session makes room for whoever comes for its endpoint.
    fn room(
        &mut self,
        endpoint: SocketAddr,
        geometry: Geometry,
        limits: &Limits,
    ) -> Result<(), Refused> {
        let there = self.all.get(&endpoint);
        let adopted = there.filter(|one| matches!(one.stage, Stage::Adopted(..)));
        if there.is_some() && adopted.is_none() {
            let text = format!("{endpoint} has a session already");
            return Err(refused(Reason::Busy, text));
        }
        if self.all.len() - usize::from(adopted.is_some()) >= limits.sessions {
            let text = format!(
                "the node has {} sessions, as many as it may",
                limits.sessions
            );
            return Err(refused(Reason::Busy, text));
        }
        let own = geometry.bytes() as u64;
        if own > limits.session_memory {
            let most = limits.session_memory;
            let text = format!("its UMEM would be {own} bytes, {most} are allowed");
            return Err(refused(Reason::NoMemory, text));
        }
        let bytes = self.memory() - adopted.map_or(0, |one| one.bytes) + own;
        if bytes > limits.memory {
            let text = format!(
                "all UMEMs would be {bytes} bytes, {} are allowed",
                limits.memory
            );
            return Err(refused(Reason::NoMemory, text));
        }
        Ok(())
    }

    fn take(
        &mut self,
        endpoint: SocketAddr,
        owner: u64,
        geometry: Geometry,
        stage: Stage,
    ) -> Ticket {
        self.next += 1;
        let number = self.next;
        let session = Session {
            number,
            stage,
            bytes: geometry.bytes() as u64,
        };
        self.all.insert(endpoint, session);
        Ticket {
            endpoint,
            number,
            asked: self.asked,
            owner,
            geometry,
            // Whatever frames there are find room in both rings.
            rings: Rings {
                fill: geometry.frames(),
                receive: geometry.frames(),
            },
        }
    }

    /// The rings of the ticket's holder are primed. Returns whether that is news.
    pub(super) fn ready(&mut self, ticket: &Ticket) -> bool {
        let session = self.of(ticket);
        session.is_some_and(|one| std::mem::replace(&mut one.stage, Stage::Ready) != Stage::Ready)
    }

    /// Gives the place back.
    pub(super) fn end(&mut self, ticket: &Ticket) {
        if self.of(ticket).is_some() {
            self.all.remove(&ticket.endpoint);
        }
    }

    fn of(&mut self, ticket: &Ticket) -> Option<&mut Session> {
        let session = self.all.get_mut(&ticket.endpoint);
        session.filter(|session| session.number == ticket.number)
    }

    pub(super) fn adopt(&mut self, granted: &[(SocketAddr, Granted)], now: Instant) {
        for (endpoint, granted) in granted {
            let session = Session {
                number: 0,
                stage: Stage::Adopted(*granted, now + COMES_BACK),
                bytes: granted.geometry.bytes() as u64,
            };
            self.all.entry(*endpoint).or_insert(session);
        }
    }

    /// Returns whether that is news.
    pub(super) fn stuck(&mut self, endpoint: SocketAddr) -> bool {
        let session = self.all.get_mut(&endpoint);
        let Some(session) = session.filter(|one| one.stage == Stage::Ready) else {
            return false;
        };
        session.stage = Stage::Stuck;
        self.count(Event::Stuck, None);
        true
    }

    pub(super) fn wants(&mut self, now: Instant) -> Wants {
        self.asked += 1;
        self.all
            .retain(|_, one| !matches!(one.stage, Stage::Adopted(_, until) if until <= now));
        let steered = |stage| matches!(stage, Stage::Ready | Stage::Adopted(..));
        let all = || self.all.iter();
        Wants {
            relays: all().map(|(endpoint, _)| *endpoint).collect(),
            steered: all()
                .filter(|(_, one)| steered(one.stage))
                .map(|(endpoint, _)| *endpoint)
                .collect(),
        }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Bytes of all UMEMs.
    pub fn memory(&self) -> u64 {
        self.all.values().map(|one| one.bytes).sum()
    }

    /// The endpoint of each, and bytes of its UMEM.
    pub fn each(&self) -> impl Iterator<Item = (SocketAddr, u64)> {
        let all = self.all.iter();
        all.map(|(endpoint, one)| (*endpoint, one.bytes))
    }

    pub(super) fn count(&mut self, event: Event, why: Option<Reason>) {
        *self.events.entry((event, why)).or_default() += 1;
    }

    /// What became of sessions so far.
    pub fn events(&self) -> &Events {
        &self.events
    }
}

fn may<'a>(
    endpoint: SocketAddr,
    caller: &Caller,
    offers: &'a Offers,
) -> Result<&'a Offer, Refused> {
    let Some(offer) = offers.get(&endpoint) else {
        let text = format!("no transport selects {endpoint} on this node");
        return Err(refused(Reason::NoEndpoint, text));
    };
    if !caller.is_of(&offer.pod, &offer.users) {
        let text = format!("{caller} has no right to {endpoint}");
        return Err(refused(Reason::NotYours, text));
    }
    match &offer.closed {
        Some((reason, text)) => Err(refused(*reason, text.clone())),
        None => Ok(offer),
    }
}

/// Frames that hold the packets of the node's interfaces, as many as were asked for.
fn frames_for(mtu: u32, wanted: Geometry) -> Result<Geometry, Refused> {
    let larger = Geometry::new(wanted.frames(), 4096).unwrap_or(wanted);
    let mut both = [wanted, larger].into_iter();
    both.find(|geometry| geometry.holds(mtu)).ok_or_else(|| {
        let text = format!("packets of the node's interfaces, of MTU {mtu}, fit no frame");
        refused(Reason::NotSupported, text)
    })
}

/// As many of the frames as the memory allows.
fn fit(geometry: Geometry, most: u64) -> Geometry {
    let mut fits = geometry;
    while fits.bytes() as u64 > most
        && let Ok(half) = Geometry::new(fits.frames() / 2, fits.frame_size())
    {
        fits = half;
    }
    fits
}

pub(super) fn refused(reason: Reason, text: String) -> Refused {
    Refused { reason, text }
}
