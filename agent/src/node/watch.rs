//! Keeps a [`NodeState`] current.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use futures::{StreamExt, channel::mpsc::UnboundedReceiver};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{
    Handle, MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::SocketAddr,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{Missing, NodeState, SnapshotError, news::is_news, resolve::Resolver, snapshot::read};

/// A burst of events is answered by one look, this long after the first of them.
const BURST: Duration = Duration::from_millis(20);
/// Change that never ends is looked at this often.
const PACE: Duration = Duration::from_millis(200);
/// What no event tells (an XDP program put on by a BPF link) is seen this late at most.
const RESYNC: Duration = Duration::from_secs(5);
/// Wait before the first attempt to reconnect; each failure doubles it, up to [`RESYNC`].
const RETRY: Duration = Duration::from_millis(100);
/// More would be a second's worth of pods; what does not fit is asked for by the next pass.
const ASKS: usize = 256;

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Neigh,
];

/// Why the namespace cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// No netlink socket.
    #[error("no netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The state could not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The socket ended.
    #[error("the netlink socket closed")]
    Closed,
}

/// The network namespace of the calling thread, observed until dropped.
#[derive(Debug)]
pub struct Node {
    state: watch::Receiver<Arc<NodeState>>,
    asks: mpsc::Sender<(u32, IpAddr)>,
    _observer: JoinSet<()>,
}

impl Node {
    /// Takes the first look and keeps looking, in a task of the current runtime. Later socket errors
    /// are logged and survived: the last state stays in force until a new one is read.
    pub async fn observe() -> Result<Self, ObserveError> {
        let session = Session::open()?;
        let first = read(&session.requests).await?;
        Ok(Self::follow(session, first))
    }

    fn follow(session: Session, first: NodeState) -> Self {
        let (published, state) = watch::channel(Arc::new(first));
        let (asks, asked) = mpsc::channel(ASKS);
        let observer = Observer {
            published,
            asked,
            resolver: Resolver::default(),
            retry: RETRY,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(observer.run(session));
        Self {
            state,
            asks,
            _observer: tasks,
        }
    }

    /// The latest state; from here on [`Node::changed`] waits for a newer one.
    pub fn state(&mut self) -> Arc<NodeState> {
        self.state.borrow_and_update().clone()
    }

    /// Waits until there is a newer state than [`Node::state`] last gave. An error means that the observer
    /// is gone for good.
    pub async fn changed(&mut self) -> Result<(), ObserveError> {
        self.state.changed().await.map_err(|_| ObserveError::Closed)
    }

    /// Has the kernel resolve what `missing` lacks, at most every [`super::RESOLVE_EVERY`] per
    /// address; an answer arrives as a change. Call it on every pass that still misses the pod.
    pub fn resolve(&self, missing: &Missing) {
        if let Some(ask) = missing.resolvable() {
            // A full queue means that many asks are under way; the next pass repeats this one.
            let _ = self.asks.try_send(ask);
        }
    }
}

/// One look at the namespace of the calling thread.
pub async fn snapshot() -> Result<NodeState, ObserveError> {
    Ok(read(&Session::open()?.requests).await?)
}

/// Two sockets: on a shared one, an overrun of events could swallow the end of a list.
struct Session {
    requests: Handle,
    events: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    connections: JoinSet<()>,
}

impl Session {
    fn open() -> io::Result<Self> {
        let mut connections = JoinSet::new();
        let (listening, _, events) = rtnetlink::new_multicast_connection(&GROUPS)?;
        connections.spawn(listening);
        let (mut asking, requests, _) = rtnetlink::new_connection()?;
        asking.set_forward_done(true);
        connections.spawn(asking);
        Ok(Self {
            requests,
            events,
            connections,
        })
    }
}

struct Observer {
    published: watch::Sender<Arc<NodeState>>,
    asked: mpsc::Receiver<(u32, IpAddr)>,
    resolver: Resolver,
    retry: Duration,
}

impl Observer {
    async fn run(mut self, mut session: Session) {
        loop {
            let error = self.follow(&mut session).await;
            tracing::warn!(%error, "network events interrupted, reconnecting");
            session.connections.shutdown().await;
            session = self.reopen().await;
        }
    }

    async fn reopen(&mut self) -> Session {
        loop {
            sleep(self.retry).await;
            self.retry = (self.retry * 2).min(RESYNC);
            match Session::open() {
                Ok(session) => return session,
                Err(error) => tracing::warn!(%error, "no netlink socket"),
            }
        }
    }

    async fn follow(&mut self, session: &mut Session) -> ObserveError {
        let mut looked = Instant::now();
        let mut due = looked;
        loop {
            tokio::select! {
                event = session.events.next() => match event {
                    Some((event, _)) if self.is_news(&event) => {
                        due = due.min(next_look(Instant::now(), looked));
                    }
                    Some(_) => {}
                    None => return ObserveError::Closed,
                },
                Some((bridge, pod)) = self.asked.recv() => {
                    let now = std::time::Instant::now();
                    self.resolver.ask(&session.requests, now, bridge, pod).await;
                }
                () = sleep_until(due) => {
                    if let Err(error) = self.look(&session.requests).await {
                        return error.into();
                    }
                    looked = Instant::now();
                    due = looked + RESYNC;
                }
            }
        }
    }

    async fn look(&mut self, requests: &Handle) -> Result<(), SnapshotError> {
        let fresh = read(requests).await?;
        self.retry = RETRY;
        self.published.send_if_modified(|state| {
            let changed = **state != fresh;
            if changed {
                *state = Arc::new(fresh);
            }
            changed
        });
        Ok(())
    }

    fn is_news(&self, event: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
        match &event.payload {
            NetlinkPayload::InnerMessage(message) => is_news(&self.published.borrow(), message),
            // Events were lost.
            NetlinkPayload::Overrun(_) | NetlinkPayload::Error(_) => true,
            _ => false,
        }
    }
}

/// Soon after quiet, paced under constant change.
fn next_look(now: Instant, looked: Instant) -> Instant {
    (now + BURST).max(looked + PACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_answered_soon_and_constant_change_is_paced() {
        let looked = Instant::now();
        let quiet = looked + RESYNC;
        assert_eq!(next_look(quiet, looked), quiet + BURST);
        assert_eq!(next_look(looked, looked), looked + PACE);
    }

    #[tokio::test]
    async fn a_closed_socket_is_replaced() {
        let mut session = Session::open().unwrap();
        session.connections.shutdown().await;
        let mut node = Node::follow(session, NodeState::default());
        let deadline = Duration::from_secs(10);
        tokio::time::timeout(deadline, node.changed())
            .await
            .unwrap()
            .unwrap();
        assert!(node.state().interface_named("lo").is_some());
    }

    #[tokio::test]
    async fn a_list_cut_short_is_an_error() {
        let mut session = Session::open().unwrap();
        session.connections.shutdown().await;
        let cut = read(&session.requests).await;
        assert!(matches!(cut, Err(SnapshotError::Closed { .. })), "{cut:?}");
    }
}
