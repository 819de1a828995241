use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stoq_crds::ObjectName;
use stoq_ebpf::af_xdp::{Geometry, Rings};
use stoq_ebpf::broker::{Granted, Hello, Reason, Resume};

use super::door::Caller;
use super::offers::{Offer, Offers};
use super::sessions::Ticket;
use super::{Limits, Sessions, Wants};

const OWNER: u64 = 7;
const LIMITS: Limits = Limits {
    sessions: 2,
    session_memory: 1 << 20,
    memory: 2 << 20,
};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn geometry(frames: u32) -> Geometry {
    Geometry::new(frames, 2048).unwrap()
}

fn hello(port: u16, frames: u32) -> Hello {
    Hello {
        endpoint: at(port),
        geometry: geometry(frames),
        rings: Rings {
            fill: 64,
            receive: 64,
        },
    }
}

fn granted(frames: u32) -> Granted {
    Granted {
        session: 1,
        geometry: geometry(frames),
        rings: Rings {
            fill: frames,
            receive: frames,
        },
    }
}

fn resume(port: u16) -> Resume {
    Resume {
        granted: granted(64),
        endpoint: at(port),
    }
}

fn pod(name: &str) -> ObjectName {
    ObjectName {
        namespace: "default".into(),
        name: name.into(),
    }
}

/// Ports 1 to 4 are of the pod edge-0, of user 1000; 5 is closed.
fn offers() -> Offers {
    let offer = |port: u16| Offer {
        transport: "default/edge".into(),
        owner: OWNER,
        pod: pod("edge-0"),
        users: BTreeSet::from([1000]),
        mtu: 1500,
        closed: (port == 5).then(|| (Reason::NotSupported, "no XDP".to_owned())),
        relay: None,
        steered: false,
    };
    (1..=5).map(|port| (at(port), offer(port))).collect()
}

fn admit(sessions: &mut Sessions, port: u16, frames: u32) -> Result<Ticket, Reason> {
    let asked = sessions.admit(
        &hello(port, frames),
        &Caller::User(1000),
        &offers(),
        &LIMITS,
    );
    asked.map_err(|refused| refused.reason)
}

#[test]
fn who_may_not_is_told_why() {
    let user = Caller::User;
    let pod = |name| Caller::Pod(pod(name));
    for (case, port, caller, expected) in [
        ("its own", 1, user(1000), Ok(())),
        ("root", 1, user(0), Ok(())),
        ("somebody else's", 1, user(1001), Err(Reason::NotYours)),
        ("its pod's", 1, pod("edge-0"), Ok(())),
        ("another pod's", 1, pod("edge-1"), Err(Reason::NotYours)),
        ("closed", 5, user(1000), Err(Reason::NotSupported)),
        (
            "closed and somebody else's",
            5,
            user(1001),
            Err(Reason::NotYours),
        ),
        ("nobody's", 9, user(1000), Err(Reason::NoEndpoint)),
        (
            "nobody's, of a pod",
            9,
            pod("edge-0"),
            Err(Reason::NoEndpoint),
        ),
    ] {
        let mut sessions = Sessions::default();
        let asked = sessions.admit(&hello(port, 64), &caller, &offers(), &LIMITS);
        let asked = asked.map(drop).map_err(|refused| refused.reason);
        assert_eq!(asked, expected, "{case}");
        let asked = sessions.resume(&resume(port), &caller, &offers(), &LIMITS);
        let asked = asked.map(drop).map_err(|refused| refused.reason);
        let expected = expected.and(Err(Reason::Busy));
        assert_eq!(asked, expected, "{case}, again");
    }
}

#[test]
fn an_endpoint_has_one_session_and_the_node_so_many() {
    let mut sessions = Sessions::default();
    let first = admit(&mut sessions, 1, 64).unwrap();
    assert_eq!(admit(&mut sessions, 1, 64), Err(Reason::Busy));
    admit(&mut sessions, 2, 64).unwrap();
    assert_eq!(admit(&mut sessions, 3, 64), Err(Reason::Busy));
    sessions.end(&first);
    let second = admit(&mut sessions, 1, 64).unwrap();
    sessions.end(&first);
    assert_eq!(
        admit(&mut sessions, 1, 64),
        Err(Reason::Busy),
        "an old ticket ends nothing"
    );
    sessions.end(&second);
    admit(&mut sessions, 1, 64).unwrap();
}

#[test]
fn frames_hold_what_the_nodes_interfaces_carry() {
    for (mtu, expected) in [
        (1500, Some(2048)),
        (1778, Some(2048)),
        (1779, Some(4096)),
        (3506, Some(4096)),
        (9000, None),
    ] {
        let mut offers = offers();
        offers.values_mut().for_each(|offer| offer.mtu = mtu);
        let asked = Sessions::default().admit(&hello(1, 64), &Caller::User(1000), &offers, &LIMITS);
        let given = asked.ok().map(|ticket| ticket.geometry.frame_size());
        assert_eq!(given, expected, "{mtu}");
    }
}

#[test]
fn memory_is_given_as_far_as_it_goes() {
    let mut sessions = Sessions::default();
    let ticket = admit(&mut sessions, 1, 65_536).unwrap();
    assert_eq!(ticket.geometry, geometry(512), "1 MiB of 2048 bytes each");
    assert_eq!((ticket.rings.fill, ticket.rings.receive), (512, 512));
    assert_eq!(sessions.memory(), 1 << 20);
    let tight = Limits {
        memory: 1 << 20,
        ..LIMITS
    };
    let refused = sessions.admit(&hello(2, 64), &Caller::User(1000), &offers(), &tight);
    assert_eq!(refused.unwrap_err().reason, Reason::NoMemory);
}

#[test]
fn packets_go_to_a_session_while_it_is_ready() {
    let mut sessions = Sessions::default();
    let now = Instant::now();
    let wants = |relays: &[u16], steered: &[u16]| Wants {
        relays: relays.iter().map(|port| at(*port)).collect(),
        steered: steered.iter().map(|port| at(*port)).collect(),
    };
    assert_eq!(sessions.wants(now), wants(&[], &[]));
    let ticket = admit(&mut sessions, 1, 64).unwrap();
    assert_eq!(sessions.wants(now), wants(&[1], &[]));
    assert!(!sessions.stuck(at(1)), "it has not begun");
    sessions.ready(&ticket);
    assert_eq!(sessions.wants(now), wants(&[1], &[1]));
    assert!(sessions.stuck(at(1)));
    assert!(!sessions.stuck(at(1)), "no news");
    assert_eq!(sessions.wants(now), wants(&[1], &[]));
    sessions.ready(&ticket);
    assert_eq!(sessions.wants(now), wants(&[1], &[1]));
    sessions.end(&ticket);
    assert_eq!(sessions.wants(now), wants(&[], &[]));
}

#[test]
fn an_earlier_agent_s_session_waits_for_its_pod() {
    let now = Instant::now();
    let later = now + Duration::from_secs(60);
    let mut sessions = Sessions::default();
    sessions.adopt(&[(at(1), granted(64)), (at(2), granted(64))], now);
    assert_eq!(sessions.memory(), 2 * 64 * 2048);
    assert_eq!(sessions.wants(now).steered, BTreeSet::from([at(1), at(2)]));
    let ticket = sessions
        .resume(&resume(1), &Caller::User(1000), &offers(), &LIMITS)
        .unwrap();
    assert_eq!(sessions.wants(now).steered, BTreeSet::from([at(1), at(2)]));
    assert_eq!(sessions.wants(later).steered, BTreeSet::from([at(1)]));
    sessions.end(&ticket);
    sessions.adopt(&[(at(3), granted(64))], now);
    // The pod has started anew: its process asks as if nothing had been.
    admit(&mut sessions, 3, 64).unwrap();
    assert_eq!(sessions.wants(now).steered, BTreeSet::new());
}

#[test]
fn a_session_is_resumed_as_it_was_granted_or_not_at_all() {
    let large = granted(512);
    let small = Limits {
        session_memory: 1 << 19,
        ..LIMITS
    };
    let tight = Limits {
        memory: (1 << 20) + (1 << 17) - 1,
        ..LIMITS
    };
    let other = Granted {
        session: 2,
        ..large
    };
    for (case, port, claimed, limits, expected) in [
        ("fewer frames", 1, granted(64), LIMITS, Reason::NoEndpoint),
        ("another session", 1, other, LIMITS, Reason::NoEndpoint),
        ("of no one", 3, large, LIMITS, Reason::NoEndpoint),
        ("too large by now", 1, large, small, Reason::NoMemory),
        ("too large with others", 1, large, tight, Reason::NoMemory),
    ] {
        let now = Instant::now();
        let mut sessions = Sessions::default();
        sessions.adopt(&[(at(1), large), (at(2), granted(64))], now);
        let mut resume = |granted, port, limits| {
            let endpoint = at(port);
            let resume = Resume { granted, endpoint };
            let asked = sessions.resume(&resume, &Caller::User(1000), &offers(), &limits);
            asked.map_err(|refused| refused.reason)
        };
        assert_eq!(resume(claimed, port, limits), Err(expected), "{case}");
        let ticket = resume(large, 1, LIMITS).unwrap();
        assert_eq!(ticket.geometry, large.geometry, "{case}");
        assert_eq!(resume(large, 1, LIMITS), Err(Reason::Busy), "{case}, again");
        assert_eq!(sessions.memory(), (1 << 20) + (1 << 17), "{case}");
    }
}
