//! Hands AF_XDP sockets to pods that have no privileges.
//!
//! Each connection to one of its sockets has a task; what there is of sessions stands in a table
//! that tasks write and the agent's loop reads. A pass makes relays for those who ask, sends packets
//! to those who are ready, and tells with its [`Offers`] what came of it; the tasks do the rest.
//! The agent keeps no copy of a socket: with the pod that has it, it goes, and the relay's program
//! finds nobody and hands the packets to the host.

mod callers;
mod channel;
mod door;
mod ledger;
mod listen;
mod make;
mod offers;
mod refusals;
mod session;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stoq_ebpf::broker::Refused;
use tokio::sync::{Notify, watch};

use callers::Callers;
pub use door::{Door, Holder};
use ledger::Ledger;
pub use ledger::{SESSIONS, remove_notes};
pub use offers::{Offer, Offers, Uplinks, offers, uplinks};
use refusals::Refusals;
pub use sessions::{Event, Events, Limits, Sessions, Wants};

/// Between two passes for the sake of sessions.
const PAUSE: Duration = Duration::from_millis(20);

/// Name of its socket in the run directory.
pub const SOCKET: &str = "afxdp.sock";

/// What the loop, the listener and the sessions share.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sessions: Mutex<Sessions>,
    offers: watch::Sender<Offers>,
    /// How often the loop had asked what is wanted when it told last what came of it.
    answered: watch::Sender<u64>,
    /// When that was.
    answered_at: Mutex<Instant>,
    news: Notify,
    limits: Limits,
    callers: Callers,
    refusals: Mutex<Refusals>,
    ledger: Ledger,
    /// Directory of the pinned maps.
    maps: PathBuf,
    /// Where it does not listen, and why.
    problems: Mutex<BTreeMap<PathBuf, String>>,
}

impl Broker {
    /// One without a listener, that has nothing on offer.
    pub fn new(maps: PathBuf, run_dir: &Path, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            sessions: Mutex::default(),
            offers: watch::Sender::default(),
            answered: watch::Sender::default(),
            answered_at: Mutex::new(Instant::now()),
            news: Notify::new(),
            limits,
            callers: Callers::default(),
            refusals: Mutex::default(),
            ledger: Ledger::new(run_dir),
            maps,
            problems: Mutex::default(),
        }))
    }

    /// Listens at `<directory>/afxdp.sock`, as soon as that is possible and until it is dropped; who
    /// comes there is known by the door.
    pub fn listen(
        &self,
        directory: &Path,
        door: Door,
    ) -> impl Future<Output = ()> + Send + 'static {
        listen::listen(self.clone(), directory.join(SOCKET), door)
    }

    /// Until something is wanted otherwise, and the last pass is a moment ago: a pod that comes and goes
    /// all the time does not keep the loop from its other work.
    pub async fn changed(&self) {
        let last = *self
            .0
            .answered_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep_until((last + PAUSE).into()).await;
        self.0.news.notified().await;
    }

    /// What the sessions want of the loop.
    pub fn wants(&self) -> Wants {
        self.sessions().wants(Instant::now())
    }

    /// Tells what came of it.
    pub fn publish(&self, offers: Offers) {
        self.0.offers.send_if_modified(|now| {
            let news = *now != offers;
            if news {
                *now = offers;
            }
            news
        });
        self.0.answered.send_replace(self.sessions().asked());
        let at = self.0.answered_at.lock();
        *at.unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// What it was told last.
    pub fn offers(&self) -> Offers {
        self.0.offers.borrow().clone()
    }

    /// Takes over the sessions that an earlier agent has granted, until their pods say so or some
    /// time has passed.
    pub fn adopt(&self, steered: &[SocketAddr]) {
        let granted = self.0.ledger.take_over(steered);
        self.sessions().adopt(&granted, Instant::now());
    }

    /// The pod of this endpoint takes nothing: its packets go to the kernel until it says that it is ready.
    pub fn stuck(&self, endpoint: SocketAddr) {
        if self.sessions().stuck(endpoint) {
            tracing::warn!(%endpoint, "the pod takes no frames: its packets go to the kernel again");
            self.0.news.notify_one();
        }
    }

    /// Counts a refusal, and logs it unless there are many.
    fn refused(&self, user: u32, why: &Refused) {
        let Refused { reason, text } = why;
        self.sessions().count(Event::Refused, Some(*reason));
        let refusals = self.0.refusals.lock();
        let mut refusals = refusals.unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = refusals.line(*reason, Instant::now()) {
            tracing::info!(
                user,
                ?reason,
                left_out,
                "refused a pod an AF_XDP socket: {text}"
            );
        }
    }

    /// The table of sessions, for a moment.
    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        let sessions = self.0.sessions.lock();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it does not listen, and why.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.0.problems.lock();
        let problems = problems.unwrap_or_else(PoisonError::into_inner);
        let words =
            |(path, why): (&PathBuf, &String)| format!("listen at {}: {why}", path.display());
        problems.iter().map(words).collect()
    }

    fn tell(&self, path: &Path, problem: Option<String>) {
        let problems = self.0.problems.lock();
        let mut problems = problems.unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(why) => problems.insert(path.to_owned(), why),
            None => problems.remove(path),
        };
    }
}
