//! The sessions of a transport, as its socket sees them: one place for each endpoint.

use std::io::IoSliceMut;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use quinn::udp::RecvMeta;
use stoq_ebpf::af_xdp::Mode;

use super::machine::Standing;
use super::session::Session;
use crate::metrics::AfXdpCounts;
use crate::{Backend, Copying, Route};

/// Time in which the agent, told that a session ends, stops to steer.
const FAREWELL: Duration = Duration::from_millis(50);

/// What the tasks that talk to the agent and the one that receives share.
#[derive(Debug)]
pub(super) struct Rings {
    /// Whether IPv4 sources are shown as IPv6.
    mapped: bool,
    route: Route,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    slots: Vec<Slot>,
    /// Who receives next, so that none waits for another.
    next: usize,
    /// The task that receives.
    waker: Option<Waker>,
    /// Nobody receives any more.
    ended: bool,
}

/// One endpoint's.
#[derive(Debug)]
struct Slot {
    standing: Standing,
    session: Option<Session>,
    /// Ended, but perhaps not empty; with when they ended.
    retired: Vec<(Session, Instant)>,
    /// What sessions that are gone have counted.
    past: AfXdpCounts,
}

impl Rings {
    /// Without a session, for so many endpoints.
    pub(super) fn new(endpoints: usize, mapped: bool, route: Route) -> Self {
        let slots = { 0..endpoints }.map(|_| Slot::new()).collect();
        let inner = Inner {
            slots,
            next: 0,
            waker: None,
            ended: false,
        };
        Self {
            mapped,
            route,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done where somebody panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills buffers with what waits; how many.
    pub(super) fn receive(&self, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        self.lock()
            .first(|session| session.receive(bufs, metas, self.mapped))
    }

    /// As [`receive`](Self::receive), and with nothing there has the task woken once there is.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<usize> {
        let mut inner = self.lock();
        let used =
            inner.first(
                |session| match session.poll_receive(cx, bufs, metas, self.mapped) {
                    Poll::Ready(used) => used,
                    Poll::Pending => 0,
                },
            );
        if used > 0 {
            return Poll::Ready(used);
        }
        let dead = inner.bury(Instant::now());
        if !dead.is_empty() {
            // The kernel takes its time to close a bound socket.
            tokio::task::spawn_blocking(move || drop(dead));
        }
        match &mut inner.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Has the receiving task look at the sessions anew.
    pub(super) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn stand(&self, slot: usize, standing: Standing) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        if let Some(slot) = inner.slots.get_mut(slot) {
            slot.standing = standing;
        }
    }

    /// From now on there is this session.
    pub(super) fn begin(&self, slot: usize, session: Session) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        if let Some(slot) = inner.slots.get_mut(slot) {
            slot.retire();
            slot.session = Some(session);
        }
        drop(inner);
        self.wake();
    }

    /// From now on there is none, nor will there be.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        for slot in &mut inner.slots {
            slot.past = slot.counts();
            slot.session = None;
            slot.retired.clear();
            slot.standing = Standing::Udp("the transport is closed".to_owned());
        }
    }

    /// From now on there is none; what waits in its ring is received all the same.
    pub(super) fn retire(&self, slot: usize) {
        if let Some(slot) = self.lock().slots.get_mut(slot) {
            slot.retire();
        }
        self.wake();
    }

    /// Shows the session to `look`, if there is one.
    pub(super) fn with<T>(&self, slot: usize, look: impl FnOnce(&Session) -> T) -> Option<T> {
        let inner = self.lock();
        inner.slots.get(slot)?.session.as_ref().map(look)
    }

    /// Whether sessions wait to be empty.
    pub(super) fn is_retiring(&self) -> bool {
        let inner = self.lock();
        inner.slots.iter().any(|slot| !slot.retired.is_empty())
    }

    pub(super) fn counts(&self) -> AfXdpCounts {
        let inner = self.lock();
        let counts = inner.slots.iter().map(Slot::counts);
        counts.fold(AfXdpCounts::default(), AfXdpCounts::plus)
    }

    pub(super) fn backend(&self) -> Backend {
        let inner = self.lock();
        let mut copying = None;
        let mut reasons: Vec<&str> = Vec::new();
        for slot in &inner.slots {
            let reason = match &slot.standing {
                Standing::Udp(reason) => reason,
                Standing::AfXdp(reason) => {
                    copying = copying.or_else(|| slot.session.as_ref().map(Session::mode));
                    reason
                }
            };
            if !reason.is_empty() && !reasons.contains(&reason.as_str()) {
                reasons.push(reason);
            }
        }
        let reason = reasons.join("; ");
        let copying = match copying {
            None => return Backend::Udp { reason },
            Some(Mode::Copy) => Copying::Copy,
            Some(Mode::ZeroCopy) => Copying::ZeroCopy,
        };
        Backend::AfXdp {
            route: self.route,
            copying,
            reason,
        }
    }
}

impl Inner {
    /// The first session that `receive` gets something from: another one each time.
    fn first(&mut self, mut receive: impl FnMut(&mut Session) -> usize) -> usize {
        let slots = self.slots.len();
        let start = self.next.min(slots);
        let (before, after) = self.slots.split_at_mut(start);
        for (index, slot) in after.iter_mut().chain(before).enumerate() {
            let used = { slot.sessions() }.map(&mut receive).find(|used| *used > 0);
            if let Some(used) = used {
                self.next = (start + index + 1) % slots;
                return used;
            }
        }
        0
    }

    /// Takes out the sessions that have ended and are empty.
    fn bury(&mut self, now: Instant) -> Vec<Session> {
        let mut dead = Vec::new();
        for slot in &mut self.slots {
            let over = |(session, since): &mut (Session, Instant)| {
                now.duration_since(*since) >= FAREWELL && session.is_empty()
            };
            for (session, _) in slot.retired.extract_if(.., over) {
                slot.past = slot.past.plus(session.counts());
                dead.push(session);
            }
        }
        dead
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            standing: Standing::Udp(String::new()),
            session: None,
            retired: Vec::new(),
            past: AfXdpCounts::default(),
        }
    }

    fn sessions(&mut self) -> impl Iterator<Item = &mut Session> {
        let retired = self.retired.iter_mut().map(|(session, _)| session);
        retired.chain(&mut self.session)
    }

    fn retire(&mut self) {
        let session = self.session.take();
        self.retired
            .extend(session.map(|session| (session, Instant::now())));
    }

    fn counts(&self) -> AfXdpCounts {
        let retired = self.retired.iter().map(|(session, _)| session);
        let sessions = retired.chain(&self.session).map(Session::counts);
        sessions.fold(self.past, AfXdpCounts::plus)
    }
}
