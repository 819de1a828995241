//! When to say what to the agent: no clock, no socket, only what follows from what.

mod manners;

use std::time::Duration;

use stoq_ebpf::broker::{Granted, Reason, Refused, VERSION};

use self::manners::{Row, Waits};

/// Longest wait for an answer: the agent may take 5 s to make a relay and 1 s to bind a socket to it.
const PATIENCE: Duration = Duration::from_secs(8);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The time [`Machine::timer`] gave is over. `primed`: free frames are offered to the kernel.
    Timer {
        primed: bool,
    },
    Connected,
    Unreachable(String),
    /// With so many descriptors.
    Granted(Granted, usize),
    /// The descriptors are good: there is a session.
    Opened,
    NotOpened(String),
    Refused(Refused),
    Steered(bool),
    /// A message that makes no sense, or none now.
    Strange(String),
    Version(u16),
    /// The agent has closed the connection.
    Closed,
    /// The session's socket will receive no more.
    Failed(String),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Connect,
    Send(Words),
    /// Make a session of the descriptors that came with this.
    Open(Granted),
    Close,
    /// End the session once its ring is empty.
    Retire,
}

/// What is said to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Hello,
    Resume(Granted),
    Ready,
}

/// By what packets come, and why not by anything better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Udp(String),
    /// The reason is empty if all is well.
    AfXdp(String),
}

/// Where the conversation stands.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    /// A session's terms. It outlives the connection that it came by.
    held: Option<Granted>,
    steered: bool,
    /// Why all is not well; empty if it is.
    reason: String,
    calls: Waits,
    /// How often the answer was no since it was yes.
    refusals: Waits,
    /// Who stalls again and again is steered to again later and later.
    offers: Waits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection; the next is tried after this time.
    Apart(Duration),
    Calling,
    Asked,
    Opening(Granted),
    Resuming,
    /// Session and connection. With a time: the frames may be offered again after it.
    Together(Option<Duration>),
}

impl Machine {
    /// Calls at once.
    pub(super) fn new() -> Self {
        Self {
            state: State::Apart(Duration::ZERO),
            held: None,
            steered: false,
            reason: "the agent was not asked yet".to_owned(),
            calls: Waits::default(),
            refusals: Waits::default(),
            offers: Waits::default(),
        }
    }

    /// Time after which [`Event::Timer`] is due unless something else happens before.
    pub(super) fn timer(&self) -> Option<Duration> {
        match self.state {
            State::Apart(wait) => Some(wait),
            State::Asked | State::Resuming => Some(PATIENCE),
            State::Together(wait) => wait,
            State::Calling | State::Opening(_) => None,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let reason = self.reason.clone();
        if self.steered {
            Standing::AfXdp(reason)
        } else {
            Standing::Udp(reason)
        }
    }

    /// What follows from an event. One that can't be in this state changes nothing.
    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (_, Event::Failed(why)) => self.end(manners::AGAIN.first, why),
            (State::Apart(_), Event::Timer { .. }) => {
                self.state = State::Calling;
                vec![Action::Connect]
            }
            (State::Calling, Event::Connected) => self.speak(),
            (State::Calling, Event::Unreachable(why)) => self.part(why),
            (State::Apart(_) | State::Calling, _) => Vec::new(),
            (_, Event::Closed) => self.part("the agent has closed the connection".to_owned()),
            (State::Asked | State::Opening(_), event) => self.while_asking(event),
            (State::Resuming, event) => self.while_resuming(event),
            (State::Together(wait), event) => self.while_together(wait, event),
        }
    }

    fn speak(&mut self) -> Vec<Action> {
        let (state, words) = match self.held {
            Some(granted) => (State::Resuming, Words::Resume(granted)),
            None => (State::Asked, Words::Hello),
        };
        self.state = state;
        vec![Action::Send(words)]
    }

    fn while_asking(&mut self, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (State::Asked, Event::Granted(granted, 2)) => {
                self.state = State::Opening(granted);
                vec![Action::Open(granted)]
            }
            (State::Opening(granted), Event::Opened) => {
                self.held = Some(granted);
                self.join("the agent has not begun to steer")
            }
            (_, Event::NotOpened(why)) => self.refuse(manners::SELDOM, why),
            (_, Event::Timer { .. }) => self.part(silent()),
            (_, event) => self.refused(event),
        }
    }

    fn while_resuming(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Granted(granted, 0) if Some(granted) == self.held => {
                let reason = if self.steered {
                    ""
                } else {
                    "the agent has not begun to steer"
                };
                self.join(reason)
            }
            Event::Timer { .. } => self.part(silent()),
            // The session is over, yet the agent may grant another at once.
            Event::Refused(refused) if refused.reason != Reason::Version => {
                self.end(manners::AGAIN.first, words(refused))
            }
            event => self.refused(event),
        }
    }

    fn while_together(&mut self, wait: Option<Duration>, event: Event) -> Vec<Action> {
        match event {
            Event::Steered(true) => {
                self.steered = true;
                self.reason.clear();
                self.state = State::Together(None);
                Vec::new()
            }
            Event::Steered(false) => {
                self.steered = false;
                "the agent has stopped steering".clone_into(&mut self.reason);
                self.state = State::Together(Some(self.offers.next(manners::AGAIN)));
                Vec::new()
            }
            Event::Timer { primed: true } if wait.is_some() => {
                self.state = State::Together(None);
                vec![Action::Send(Words::Ready)]
            }
            Event::Timer { .. } => Vec::new(),
            event => self.refused(event),
        }
    }

    /// Whatever it is, it is no yes.
    fn refused(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Refused(refused) => {
                let row = manners::after(refused.reason);
                self.refuse(row, words(refused))
            }
            Event::Version(version) => self.refuse(
                manners::SELDOM,
                format!(
                    "the agent speaks version {version} of the broker's protocol, not {VERSION}"
                ),
            ),
            Event::Strange(what) => {
                let wait = self.calls.next(manners::AGAIN);
                self.end(wait, format!("the agent makes no sense: {what}"))
            }
            other => {
                let wait = self.calls.next(manners::AGAIN);
                self.end(wait, format!("the agent makes no sense: {}", name(&other)))
            }
        }
    }

    fn refuse(&mut self, row: Row, why: String) -> Vec<Action> {
        let wait = self.refusals.next(row);
        self.end(wait, why)
    }

    fn join(&mut self, reason: &str) -> Vec<Action> {
        self.calls = Waits::default();
        self.refusals = Waits::default();
        self.offers = Waits::default();
        reason.clone_into(&mut self.reason);
        self.state = State::Together(None);
        vec![Action::Send(Words::Ready)]
    }

    /// Without a connection, but with the session if there is one: its socket goes on receiving.
    fn part(&mut self, why: String) -> Vec<Action> {
        let connected = self.state != State::Calling;
        self.reason = why;
        self.state = State::Apart(self.calls.next(manners::AGAIN));
        { connected.then_some(Action::Close) }.into_iter().collect()
    }

    /// Without either.
    fn end(&mut self, wait: Duration, why: String) -> Vec<Action> {
        self.reason = why;
        self.steered = false;
        self.state = State::Apart(wait);
        let retire = self.held.take().map(|_| Action::Retire);
        std::iter::once(Action::Close).chain(retire).collect()
    }
}

fn silent() -> String {
    format!("the agent did not answer within {} s", PATIENCE.as_secs())
}

/// What the agent said.
fn words(refused: Refused) -> String {
    if refused.text.is_empty() {
        format!("the agent refuses: {:?}", refused.reason)
    } else {
        refused.text
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Granted(_, descriptors) => {
            format!("a grant with {descriptors} descriptors is not due")
        }
        Event::Steered(_) => "nothing is granted that could be steered".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
