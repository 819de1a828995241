use stoq_ebpf::af_xdp::{Geometry, Rings};

use super::*;

const GRANTED: Granted = granted(7);

const fn granted(session: u64) -> Granted {
    let Ok(geometry) = Geometry::new(64, 2048) else {
        panic!("a good geometry");
    };
    let rings = Rings {
        fill: 64,
        receive: 64,
    };
    Granted {
        session,
        geometry,
        rings,
    }
}

const TIMER: Event = Event::Timer { primed: false };
const READY: Action = Action::Send(Words::Ready);

fn refusal(reason: Reason) -> Event {
    let text = "the agent's words".to_owned();
    Event::Refused(Refused { reason, text })
}

/// What has happened, in a word each.
#[derive(Clone, Copy, Debug)]
enum At {
    Apart,
    Asked,
    Opening,
    Together,
    Steered,
    Unsteered,
    /// The agent is gone, the session steered.
    Orphaned,
    Resuming,
}

impl At {
    const CONNECTED: [Self; 6] = [
        Self::Asked,
        Self::Opening,
        Self::Together,
        Self::Steered,
        Self::Unsteered,
        Self::Resuming,
    ];

    fn machine(self) -> Machine {
        let steered = || {
            let events = [
                TIMER,
                Event::Connected,
                Event::Granted(GRANTED, 2),
                Event::Opened,
                Event::Steered(true),
            ];
            events.to_vec()
        };
        let events = match self {
            Self::Apart => vec![],
            Self::Asked => steered()[..2].to_vec(),
            Self::Opening => steered()[..3].to_vec(),
            Self::Together => steered()[..4].to_vec(),
            Self::Steered => steered(),
            Self::Unsteered => [steered(), vec![Event::Steered(false)]].concat(),
            Self::Orphaned => [steered(), vec![Event::Closed]].concat(),
            Self::Resuming => [steered(), vec![Event::Closed, TIMER, Event::Connected]].concat(),
        };
        let mut machine = Machine::new();
        for event in events {
            machine.on(event);
        }
        machine
    }

    fn holds(self) -> bool {
        !matches!(self, Self::Apart | Self::Asked | Self::Opening)
    }
}

fn after(at: At, event: Event) -> (Machine, Vec<Action>) {
    let mut machine = at.machine();
    let actions = machine.on(event);
    (machine, actions)
}

fn udp(machine: &Machine) -> Option<String> {
    match machine.standing() {
        Standing::Udp(reason) => Some(reason),
        Standing::AfXdp(_) => None,
    }
}

#[test]
fn one_thing_follows_another_until_packets_come() {
    let mut machine = Machine::new();
    let steps = [
        (TIMER, vec![Action::Connect]),
        (Event::Connected, vec![Action::Send(Words::Hello)]),
        (Event::Granted(GRANTED, 2), vec![Action::Open(GRANTED)]),
        (Event::Opened, vec![READY]),
    ];
    for (event, expected) in steps {
        assert!(udp(&machine).is_some_and(|reason| !reason.is_empty()));
        assert_eq!(machine.on(event.clone()), expected, "{event:?}");
    }
    assert_eq!(machine.on(Event::Steered(true)), []);
    assert_eq!(machine.standing(), Standing::AfXdp(String::new()));
    assert_eq!(machine.timer(), None, "nothing is due");
}

#[test]
fn nobody_there_is_tried_again_after_longer_and_longer() {
    let mut machine = Machine::new();
    assert_eq!(machine.timer(), Some(Duration::ZERO));
    for wait in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        machine.on(TIMER);
        let actions = machine.on(Event::Unreachable("nobody".to_owned()));
        assert_eq!(actions, []);
        assert_eq!(machine.timer(), Some(Duration::from_millis(wait)));
        assert_eq!(udp(&machine).as_deref(), Some("nobody"));
    }
}

#[test]
fn who_does_not_answer_is_given_up_and_called_again() {
    for at in [At::Asked, At::Resuming] {
        assert_eq!(at.machine().timer(), Some(PATIENCE), "{at:?}");
        let (machine, actions) = after(at, TIMER);
        assert_eq!(actions, [Action::Close], "{at:?}: a session is kept");
        assert!(machine.timer().is_some_and(|wait| wait < PATIENCE));
    }
    let reason = udp(&after(At::Asked, TIMER).0).unwrap();
    assert!(reason.contains("did not answer"), "{reason}");
}

#[test]
fn a_refusal_is_shown_in_the_agent_s_words_and_asked_about_later_and_later() {
    for reason in Reason::ALL {
        let mut machine = At::Asked.machine();
        let mut expected = Waits::default();
        for before in 0..8 {
            assert_eq!(machine.on(refusal(reason)), [Action::Close]);
            assert_eq!(udp(&machine).as_deref(), Some("the agent's words"));
            let wait = expected.next(manners::after(reason));
            assert_eq!(machine.timer(), Some(wait), "{reason:?} {before}");
            machine.on(TIMER);
            machine.on(Event::Connected);
        }
    }
}

#[test]
fn after_a_grant_refusals_count_anew() {
    let mut machine = At::Asked.machine();
    for _ in 0..5 {
        for event in [refusal(Reason::Busy), TIMER, Event::Connected] {
            machine.on(event);
        }
    }
    for event in [Event::Granted(GRANTED, 2), Event::Opened] {
        machine.on(event);
    }
    machine.on(refusal(Reason::NoEndpoint));
    assert_eq!(machine.timer(), Some(Duration::from_millis(200)));
}

#[test]
fn another_version_is_said_and_asked_about_seldom() {
    for at in At::CONNECTED {
        let (machine, _) = after(at, Event::Version(2));
        let reason = udp(&machine).unwrap();
        assert!(reason.contains("version 2"), "{reason}");
        assert_eq!(machine.timer(), Some(manners::SELDOM.first), "{at:?}");
    }
}

#[test]
fn a_session_outlives_the_agent() {
    for at in [At::Together, At::Steered, At::Unsteered, At::Resuming] {
        let (mut machine, actions) = after(at, Event::Closed);
        assert_eq!(actions, [Action::Close], "{at:?}");
        assert_eq!(machine.on(TIMER), [Action::Connect]);
        let resume = Action::Send(Words::Resume(GRANTED));
        assert_eq!(machine.on(Event::Connected), [resume], "{at:?}");
        assert_eq!(machine.on(Event::Granted(GRANTED, 0)), [READY], "{at:?}");
        machine.on(Event::Steered(true));
        assert_eq!(machine.standing(), Standing::AfXdp(String::new()), "{at:?}");
    }
    let orphaned = At::Orphaned.machine().standing();
    let Standing::AfXdp(reason) = orphaned else {
        panic!("packets still come: {orphaned:?}");
    };
    assert!(reason.contains("closed"), "{reason}");
}

#[test]
fn what_another_agent_does_not_take_over_begins_anew_at_once() {
    for event in [
        refusal(Reason::NoEndpoint),
        Event::Granted(GRANTED, 2),
        Event::Granted(granted(8), 0),
        Event::Steered(true),
        Event::Strange("?".to_owned()),
    ] {
        let (mut machine, actions) = after(At::Resuming, event.clone());
        assert_eq!(actions, [Action::Close, Action::Retire], "{event:?}");
        assert!(udp(&machine).is_some(), "{event:?}");
        assert!(
            machine
                .timer()
                .is_some_and(|wait| wait <= Duration::from_millis(200))
        );
        machine.on(TIMER);
        let actions = machine.on(Event::Connected);
        assert_eq!(actions, [Action::Send(Words::Hello)], "{event:?}");
    }
}

#[test]
fn what_is_not_due_ends_the_session() {
    for (at, event) in [
        (At::Asked, Event::Granted(GRANTED, 0)),
        (At::Asked, Event::Granted(GRANTED, 1)),
        (At::Asked, Event::Steered(true)),
        (At::Together, Event::Granted(GRANTED, 2)),
        (At::Steered, Event::Strange("?".to_owned())),
        (At::Steered, refusal(Reason::NoEndpoint)),
    ] {
        let (machine, actions) = after(at, event.clone());
        assert_eq!(actions[0], Action::Close, "{event:?}");
        assert_eq!(actions.contains(&Action::Retire), at.holds(), "{event:?}");
        assert!(udp(&machine).is_some(), "{event:?}");
        assert!(machine.timer().is_some(), "{event:?}");
    }
}

#[test]
fn descriptors_that_are_no_good_are_said() {
    let why = "no socket".to_owned();
    let (machine, actions) = after(At::Opening, Event::NotOpened(why));
    assert_eq!(actions, [Action::Close]);
    assert_eq!(udp(&machine).as_deref(), Some("no socket"));
    assert_eq!(machine.timer(), Some(manners::SELDOM.first));
}

#[test]
fn no_longer_steered_it_is_ready_again_once_frames_are_offered() {
    let mut machine = At::Unsteered.machine();
    assert!(udp(&machine).is_some());
    assert_eq!(machine.timer(), Some(Duration::from_millis(100)));
    assert_eq!(machine.on(TIMER), [], "no frames yet");
    assert!(machine.timer().is_some());
    assert_eq!(machine.on(Event::Timer { primed: true }), [READY]);
    assert_eq!(machine.timer(), None, "said once");
    machine.on(Event::Steered(false));
    assert_eq!(machine.timer(), Some(Duration::from_millis(200)), "slower");
    machine.on(Event::Steered(true));
    assert_eq!(machine.standing(), Standing::AfXdp(String::new()));
}

#[test]
fn a_socket_that_failed_is_replaced_whatever_the_agent_does() {
    for at in At::CONNECTED.into_iter().chain([At::Orphaned]) {
        let (mut machine, actions) = after(at, Event::Failed("device gone".to_owned()));
        assert_eq!(actions.contains(&Action::Retire), at.holds(), "{at:?}");
        assert_eq!(udp(&machine).as_deref(), Some("device gone"), "{at:?}");
        machine.on(TIMER);
        let actions = machine.on(Event::Connected);
        assert_eq!(actions, [Action::Send(Words::Hello)], "{at:?}");
    }
}

#[test]
fn an_echo_from_before_changes_nothing() {
    for event in [
        Event::Closed,
        Event::Steered(true),
        Event::Connected,
        Event::Opened,
    ] {
        let (machine, actions) = after(At::Apart, event.clone());
        assert_eq!(
            (actions, machine.timer()),
            (vec![], Some(Duration::ZERO)),
            "{event:?}"
        );
    }
}
