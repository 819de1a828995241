//! The conversation with the agent: what [`Machine`] wants, done.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use stoq_ebpf::af_xdp::{Geometry, Rings as Sizes};
use stoq_ebpf::broker::{self, ChannelError, Hello, Message, Resume, WireError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::machine::{Action, Event, Machine, Words};
use super::rings::Rings;
use super::session::Session;
use super::watch::watch;

/// How often a session's socket is asked whether it still receives.
const CHECK: Duration = Duration::from_millis(500);

/// What is asked for, of whom.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) broker: PathBuf,
    pub(super) endpoint: SocketAddr,
    pub(super) geometry: Geometry,
}

/// One endpoint's side of the conversation.
pub(super) struct Client {
    wish: Wish,
    rings: Arc<Rings>,
    /// The endpoint's place in the rings.
    slot: usize,
    machine: Machine,
    connection: Option<AsyncFd<OwnedFd>>,
    /// Came with the last message.
    descriptors: Vec<OwnedFd>,
}

impl Client {
    pub(super) fn new(wish: Wish, rings: Arc<Rings>, slot: usize) -> Self {
        let client = Self {
            wish,
            rings,
            slot,
            machine: Machine::new(),
            connection: None,
            descriptors: Vec::new(),
        };
        client.publish();
        client
    }

    /// Talks until it is dropped.
    pub(super) async fn run(mut self) {
        let mut deadline = self.deadline();
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = next(self.connection.as_ref(), &mut self.descriptors) => event,
                () = until(deadline) => self.timer(),
                _ = check.tick() => match self.check() {
                    Some(why) => Event::Failed(why),
                    None => continue,
                },
            };
            self.handle(event);
            deadline = self.deadline();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.machine.timer().map(|wait| Instant::now() + wait)
    }

    fn timer(&self) -> Event {
        self.hurry();
        let primed = self.rings.with(self.slot, Session::is_primed);
        let primed = primed.unwrap_or_default();
        Event::Timer { primed }
    }

    fn check(&self) -> Option<String> {
        self.hurry();
        self.rings.with(self.slot, Session::failure).flatten()
    }

    /// Sessions that have ended keep their devices busy until the receiving task has seen them empty.
    fn hurry(&self) {
        if self.rings.is_retiring() {
            self.rings.wake();
        }
    }

    /// What an event asks for, and the events that doing it makes.
    fn handle(&mut self, event: Event) {
        let mut event = Some(event);
        while let Some(happened) = event.take() {
            for action in self.machine.on(happened) {
                event = self.act(action).or(event);
            }
        }
        self.descriptors.clear();
        self.publish();
    }

    fn publish(&self) {
        self.rings.stand(self.slot, self.machine.standing());
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Connect => Some(match connect(&self.wish.broker) {
                Ok(connection) => {
                    self.connection = Some(connection);
                    Event::Connected
                }
                Err(error) => Event::Unreachable(unreachable(&self.wish.broker, &error)),
            }),
            Action::Send(words) => self.send(words),
            Action::Open(granted) => {
                let descriptors = std::mem::take(&mut self.descriptors);
                let endpoint = self.wish.endpoint.ip();
                Some(match Session::open(granted, descriptors, endpoint) {
                    Ok(session) => {
                        self.rings.begin(self.slot, session);
                        Event::Opened
                    }
                    Err(why) => Event::NotOpened(why),
                })
            }
            Action::Close => {
                self.connection = None;
                None
            }
            Action::Retire => {
                self.rings.retire(self.slot);
                None
            }
        }
    }

    /// `None` if it was sent: an answer is another event.
    fn send(&self, words: Words) -> Option<Event> {
        let connection = self.connection.as_ref()?.as_fd();
        let endpoint = self.wish.endpoint;
        let sent = match words {
            Words::Hello => {
                let geometry = self.wish.geometry;
                let hello = Message::Hello(Hello {
                    endpoint,
                    geometry,
                    rings: sizes(geometry),
                });
                broker::send(connection, &hello, &[])
            }
            Words::Ready => broker::send(connection, &Message::Ready, &[]),
            Words::Resume(granted) => {
                let resume = Message::Resume(Resume { granted, endpoint });
                let sent = self.rings.with(self.slot, |session| {
                    broker::send(connection, &resume, &[session.socket()])
                });
                sent.unwrap_or(Err(Errno::BADF))
            }
        };
        match sent {
            // Why, is to be read: a refusal, or the end.
            Ok(()) | Err(Errno::PIPE) => None,
            Err(_) => Some(Event::Closed),
        }
    }
}

/// All frames may wait on either side.
pub(super) fn sizes(geometry: Geometry) -> Sizes {
    Sizes {
        fill: geometry.frames(),
        receive: geometry.frames(),
    }
}

fn connect(path: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
    watch(fd, Interest::READABLE)
}

fn unreachable(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("no agent: there is no {path}"),
        std::io::ErrorKind::ConnectionRefused => format!("no agent listens at {path}"),
        _ => format!("no agent at {path}: {error}"),
    }
}

/// The next that the agent says; never, without a connection.
async fn next(connection: Option<&AsyncFd<OwnedFd>>, descriptors: &mut Vec<OwnedFd>) -> Event {
    let Some(connection) = connection else {
        return std::future::pending().await;
    };
    loop {
        let Ok(mut guard) = connection.readable().await else {
            return Event::Closed;
        };
        match broker::receive(connection.as_fd()) {
            Err(ChannelError::Socket(Errno::WOULDBLOCK)) => guard.clear_ready(),
            Err(ChannelError::Socket(Errno::INTR)) => {}
            Ok((message, fds)) => {
                let event = heard(message, fds.len());
                *descriptors = fds;
                return event;
            }
            Err(ChannelError::Closed | ChannelError::Socket(_)) => return Event::Closed,
            Err(ChannelError::Wire(WireError::Version(version))) => {
                return Event::Version(version);
            }
            Err(ChannelError::Wire(error)) => return Event::Strange(error.to_string()),
        }
    }
}

fn heard(message: Message, descriptors: usize) -> Event {
    match message {
        Message::Granted(granted) => Event::Granted(granted, descriptors),
        Message::Refused(refused) => Event::Refused(refused),
        Message::Steered(on) => Event::Steered(on),
        Message::Hello(_) | Message::Ready | Message::Resume(_) => {
            Event::Strange("it says what a pod says".to_owned())
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
