//! The agent's broker and those who do not keep to its protocol.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/pods.rs"]
mod pods;

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use agent::{Agent, SOON, run};
use pods::{CLIENT, PORT, USER, broker, compile, lab, says, unprivileged};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};
use stoq_ebpf::af_xdp::{Geometry, Rings};
use stoq_ebpf::broker::{
    ChannelError, Granted, Hello, Message, Reason, Refused, Resume, encode, receive, send,
};
use stoq_lab::{Lab, Pod, Process, turn, wait_for};

/// For each step of the agent's handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// An address that nobody selects.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A connection to the broker that says what it likes, as root.
struct Caller(OwnedFd);

impl Caller {
    fn new(lab: &Lab) -> Self {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let socket = socket_with(family, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(broker(lab)).unwrap()).unwrap();
        set_socket_timeout(&socket, Timeout::Recv, Some(SOON)).unwrap();
        Self(socket)
    }

    fn bytes(&self, bytes: &[u8]) {
        rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL).unwrap();
    }

    fn say(&self, message: &Message, fds: &[BorrowedFd<'_>]) {
        send(self.0.as_fd(), message, fds).unwrap();
    }

    fn hear(&self) -> Result<(Message, Vec<OwnedFd>), ChannelError> {
        receive(self.0.as_fd())
    }

    /// The reason of a refusal, which is the last message.
    fn refused(&self) -> Reason {
        let Ok((Message::Refused(Refused { reason, .. }), fds)) = self.hear() else {
            panic!("no refusal");
        };
        assert!(fds.is_empty());
        assert_eq!(self.hear().unwrap_err(), ChannelError::Closed, "{reason:?}");
        reason
    }

    /// A session of the routed pod's.
    fn granted(&self) -> (Granted, Vec<OwnedFd>) {
        self.say(&hello(routed()), &[]);
        let Ok((Message::Granted(granted), fds)) = self.hear() else {
            panic!("not granted");
        };
        (granted, fds)
    }
}

fn routed() -> SocketAddr {
    Pod::Routed.targets(PORT)[0]
}

fn memory() -> (Geometry, Rings) {
    let rings = Rings {
        fill: 128,
        receive: 128,
    };
    (Geometry::new(128, 2048).unwrap(), rings)
}

fn hello(endpoint: SocketAddr) -> Message {
    let (geometry, rings) = memory();
    Message::Hello(Hello {
        endpoint,
        geometry,
        rings,
    })
}

fn granted() -> Granted {
    let (geometry, rings) = memory();
    Granted {
        session: 7 << 32,
        geometry,
        rings,
    }
}

fn resume(granted: Granted) -> Message {
    let endpoint = routed();
    Message::Resume(Resume { granted, endpoint })
}

/// The routed pod's own client is served as if nothing had been.
fn assert_serves(lab: &Lab, within: Duration) {
    let client = Process::start(unprivileged(&lab.pod, USER, &compile(lab, CLIENT)).args([
        &broker(lab).display().to_string(),
        &Pod::Routed.v4().to_string(),
        &PORT.to_string(),
    ]));
    let began = Instant::now();
    says(&client.unwrap(), "steered true");
    assert!(began.elapsed() < within, "after {:?}", began.elapsed());
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let Some(_turn) = turn("what_is_no_message_is_refused_with_the_reason") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let proper = encode(&hello(routed()));
    let with = |at: usize, value: u8| {
        let mut bytes = proper.clone();
        bytes[at] = value;
        bytes
    };
    let table = [
        ("one byte", b"x".to_vec(), Reason::Malformed),
        ("garbage", vec![0xa5; 48], Reason::Malformed),
        ("much garbage", vec![0xa5; 65_536], Reason::Malformed),
        ("cut short", proper[..47].to_vec(), Reason::Malformed),
        ("a header alone", proper[..12].to_vec(), Reason::Malformed),
        ("too long", [&proper[..], b"x"].concat(), Reason::Malformed),
        ("another length", with(8, 35), Reason::Malformed),
        ("another type", with(6, 99), Reason::Malformed),
        ("another version", with(4, 2), Reason::Version),
        ("65 frames", with(32, 65), Reason::Malformed),
        ("Ready", encode(&Message::Ready), Reason::Malformed),
        (
            "Steered",
            encode(&Message::Steered(true)),
            Reason::Malformed,
        ),
        (
            "Granted",
            encode(&Message::Granted(granted())),
            Reason::Malformed,
        ),
        (
            "Resume without a socket",
            encode(&resume(granted())),
            Reason::Malformed,
        ),
        (
            "a stranger's address",
            encode(&hello(NOBODY)),
            Reason::NoEndpoint,
        ),
    ];
    for (case, bytes, reason) in &table {
        let caller = Caller::new(&lab);
        caller.bytes(bytes);
        assert_eq!(caller.refused(), *reason, "{case}");
    }
    for expected in [Reason::Malformed, Reason::Version, Reason::NoEndpoint] {
        let told = table.iter().filter(|(_, _, reason)| *reason == expected);
        wait_for_refusals(&agent, expected, told.count());
    }
    // An empty message looks like the end of the connection.
    let caller = Caller::new(&lab);
    caller.bytes(b"");
    assert_eq!(caller.hear().unwrap_err(), ChannelError::Closed);

    let caller = Caller::new(&lab);
    caller.granted();
    caller.say(&hello(routed()), &[]);
    assert_eq!(caller.refused(), Reason::Malformed, "a second Hello");

    let silent = Caller::new(&lab);
    let began = Instant::now();
    assert_eq!(silent.refused(), Reason::Malformed, "silence");
    assert!(began.elapsed() < HANDSHAKE + Duration::from_secs(2));
    assert_serves(&lab, HANDSHAKE);
}

#[test]
fn another_pods_endpoint_is_not_to_be_had() {
    let Some(_turn) = turn("another_pods_endpoint_is_not_to_be_had") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let mut command = unprivileged(&lab.bridged, USER, &compile(&lab, CLIENT));
    command.arg(broker(&lab));
    command.args([Pod::Bridged.v4().to_string(), PORT.to_string()]);
    let thief = Process::start(&mut command).unwrap();
    says(&thief, "refused 4 NotYours");
    assert_eq!(thief.wait(SOON).unwrap().code(), Some(3));
    assert_serves(&lab, HANDSHAKE);
}

#[test]
fn a_session_is_resumed_with_its_own_socket_alone() {
    let Some(_turn) = turn("a_session_is_resumed_with_its_own_socket_alone") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let (pipe, _writer) = std::io::pipe().unwrap();
    let caller = Caller::new(&lab);
    caller.say(&resume(granted()), &[pipe.as_fd()]);
    assert_eq!(caller.refused(), Reason::NoEndpoint, "of no relay that is");

    let caller = Caller::new(&lab);
    let (session, fds) = caller.granted();
    caller.say(&Message::Ready, &[]);
    assert_eq!(caller.hear().unwrap().0, Message::Steered(true));
    agent.kill();
    assert!(caller.hear().is_err());
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    for (case, fds) in [
        ("no descriptor", vec![]),
        ("two", vec![pipe.as_fd(), fds[1].as_fd()]),
    ] {
        let caller = Caller::new(&lab);
        caller.say(&resume(session), &fds);
        assert_eq!(caller.refused(), Reason::Malformed, "{case}");
    }
    let caller = Caller::new(&lab);
    caller.say(&resume(smaller(session)), &[fds[1].as_fd()]);
    assert_eq!(caller.refused(), Reason::NoEndpoint, "of less memory");
    assert_memory(&agent, session);
    let caller = Caller::new(&lab);
    caller.say(&resume(session), &[fds[1].as_fd()]);
    let answer = caller.hear().unwrap().0;
    assert_eq!(answer, Message::Granted(session), "{}", agent.log());
    caller.say(&Message::Ready, &[]);
    assert_eq!(caller.hear().unwrap().0, Message::Steered(true));
    assert_memory(&agent, session);
    agent.kill();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    for (case, fd) in [("a pipe", pipe.as_fd()), ("the memory", fds[0].as_fd())] {
        let caller = Caller::new(&lab);
        caller.say(&resume(session), &[fd]);
        let reason = caller.refused();
        assert!(
            matches!(
                reason,
                Reason::NotSupported | Reason::NoEndpoint | Reason::Busy
            ),
            "{case}: {reason:?}"
        );
    }
    assert_serves(&lab, HANDSHAKE);
}

/// Waits until the agent has counted so many refusals for this reason.
fn wait_for_refusals(agent: &Agent<'_>, reason: Reason, count: usize) {
    let reason = format!("reason=\"{reason:?}\"");
    let labels = ["event=\"refused\"", &reason];
    let counted = || {
        let all = agent.scrape().ok()?;
        let refused = all.sum("stoq_afxdp_session_events_total", &labels);
        (refused == count as f64).then_some(())
    };
    wait_for(&format!("{count} refusals, {reason}"), SOON, counted).unwrap();
}

/// The same session, with half of its memory.
fn smaller(session: Granted) -> Granted {
    let geometry = session.geometry;
    let geometry = Geometry::new(geometry.frames() / 2, geometry.frame_size()).unwrap();
    Granted {
        geometry,
        ..session
    }
}

/// The one session's memory is all that the agent counts.
fn assert_memory(agent: &Agent<'_>, session: Granted) {
    let counted = || {
        let bytes = agent.scrape().ok()?.sum("stoq_afxdp_umem_bytes", &[]);
        (bytes == session.geometry.bytes() as f64).then_some(())
    };
    wait_for("its memory to be counted", SOON, counted).unwrap();
}

/// The end of one session and the beginning of the next meet in the same pass of the agent, or not.
#[test]
fn who_comes_again_at_once_is_served() {
    let Some(_turn) = turn("who_comes_again_at_once_is_served") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    for round in 0..20 {
        // The session before may not have ended yet.
        let begun = wait_for("no longer Busy", SOON, || {
            let caller = Caller::new(&lab);
            caller.say(&hello(routed()), &[]);
            match caller.hear().unwrap() {
                (Message::Granted(_), fds) => Some((caller, fds)),
                (Message::Refused(why), _) if why.reason == Reason::Busy => None,
                other => panic!("{round}: {other:?}"),
            }
        });
        let (caller, _fds) = begun.unwrap();
        caller.say(&Message::Ready, &[]);
        let answer = caller.hear().unwrap().0;
        assert_eq!(answer, Message::Steered(true), "{round}: {}", agent.log());
    }
}

#[test]
fn ten_thousand_callers_leave_nothing_behind() {
    let Some(_turn) = turn("ten_thousand_callers_leave_nothing_behind") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let call = |count: usize| {
        for number in 0..count {
            let caller = Caller::new(&lab);
            if number % 2 == 0 {
                // There may be too many already.
                let _ = send(caller.0.as_fd(), &hello(NOBODY), &[]);
            }
        }
    };
    let fds = || Some(agent.scrape().ok()?.sum("process_open_fds", &[]));
    let resident = || {
        agent
            .scrape()
            .unwrap()
            .sum("process_resident_memory_bytes", &[])
    };
    let began = Instant::now();
    // What the agent needs for a crowd it has then.
    call(1000);
    let (fds_before, resident_before) = (fds().unwrap(), resident());
    call(10_000);
    let back = || (fds()? <= fds_before).then_some(());
    wait_for("descriptors", SOON, back).unwrap();
    let grown = resident() - resident_before;
    assert!(grown < f64::from(4 << 20), "{grown} bytes more");
    let log = agent.log();
    let lines = log.matches("refused a pod").count() as u64;
    // A line a second for NoEndpoint, and for Busy where there are too many at once.
    let most = 2 * (began.elapsed().as_secs() + 1);
    assert!((1..=most).contains(&lines), "{lines} of {most}");
    assert_serves(&lab, HANDSHAKE);
}

#[test]
fn a_crowd_of_silent_callers_keeps_no_other_user_out() {
    let Some(_turn) = turn("a_crowd_of_silent_callers_keeps_no_other_user_out") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    compile(&lab, CLIENT);
    let crowd: Vec<_> = (0..1100).map(|_| Caller::new(&lab)).collect();
    assert_serves(&lab, HANDSHAKE / 2);
    drop(crowd);
}

#[test]
fn who_says_ready_all_the_time_costs_no_passes() {
    let Some(_turn) = turn("who_says_ready_all_the_time_costs_no_passes") else {
        return;
    };
    let lab = lab();
    let agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let caller = Caller::new(&lab);
    let _held = caller.granted();
    let passes = || {
        agent
            .scrape()
            .unwrap()
            .sum("stoq_reconcile_seconds_count", &[])
    };
    let before = passes();
    for _ in 0..50_000 {
        caller.say(&Message::Ready, &[]);
    }
    assert_eq!(caller.hear().unwrap().0, Message::Steered(true));
    let more = passes() - before;
    assert!(more < 10.0, "{more} passes");
}
