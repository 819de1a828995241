//! AF_XDP for real (root): a client in a namespace of its own, a server that asks an agent, packets
//! that come by the uplink's program and a relay, and one QUIC connection that outlives it all.
#![cfg(feature = "ebpf")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod ends;
mod node;
#[path = "../../ebpf/tests/support/mod.rs"]
mod scratch;
mod support;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ends::{Client, SERVER, Server};
use node::{Agent, Node, Sessions};
use scratch::{Scratch, in_scratch, ip};
use stoq::metrics::Metrics;
use stoq::{AfXdp, Backend, Copying, Profile, Route};
use stoq_ebpf::broker::{Message, Reason, Refused};

/// Bytes of one question, and of its answer.
const LONG: usize = 1 << 20;
/// MTU of a usual wire, and of one with jumbo frames.
const USUAL: u16 = 1500;
const JUMBO: u16 = 9000;

/// By AF_XDP, and for a reason in these words if it could be better.
fn by_af_xdp(metrics: &Metrics, words: &str) -> bool {
    match &metrics.backend {
        Backend::AfXdp {
            route: Route::Relay,
            copying: Copying::Copy,
            reason,
        } => reason.contains(words),
        _ => false,
    }
}

fn by_udp(metrics: &Metrics, words: &str) -> bool {
    matches!(&metrics.backend, Backend::Udp { reason } if reason.contains(words))
}

/// A node with an agent's socket path, its server, and a connected client.
fn on_a_node(profile: Profile, test: impl FnOnce(&Arc<Node>, &Path, &Server, &Client) + Send) {
    on_a_wire(
        USUAL,
        |scratch| {
            let node = Node::up(&scratch.bpffs, "near", SERVER.parse().unwrap());
            let dir = tempfile::tempdir().unwrap();
            let broker = dir.path().join("afxdp.sock");
            let socket = broker.clone();
            let server = Server::start(AfXdp::Broker { socket }, profile, USUAL);
            (server, (node, dir, broker))
        },
        |server, client, (node, _, broker)| test(node, broker, server, client),
    );
}

/// A server at `near`, and a client at the other end of the wire.
fn on_a_wire<T: Send>(
    mtu: u16,
    start: impl FnOnce(&Scratch) -> (Server, T) + Send,
    test: impl FnOnce(&Server, &Client, &T) + Send,
) {
    in_scratch(|scratch| {
        for end in ["near", "far"] {
            ip(&format!("link set {end} mtu {mtu}"));
        }
        ip("addr add 10.0.0.1/24 dev near");
        // The family that has no address is not asked for; the other has no route but the wire.
        ip("route add default via 10.0.0.2 dev near");
        let (server, rest) = start(scratch);
        let root = server.root.clone();
        let (here, there) = mpsc::channel();
        std::thread::scope(|scope| {
            let (done, until) = mpsc::channel::<()>();
            // The client's namespace lives in a thread of its own.
            let (connected, client) = mpsc::channel();
            scope.spawn(move || {
                in_scratch(move |_: &Scratch| {
                    ip("link del near");
                    let namespace = format!(
                        "/proc/{}/task/{}/ns/net",
                        std::process::id(),
                        rustix::thread::gettid().as_raw_nonzero()
                    );
                    here.send(namespace).unwrap();
                    while std::fs::read_to_string("/proc/thread-self/net/dev")
                        .is_ok_and(|devices| !devices.contains("far:"))
                    {
                        std::thread::yield_now();
                    }
                    connected.send(Client::connect(root, mtu)).unwrap();
                    // Until the test is done, or has failed.
                    _ = until.recv();
                });
            });
            let namespace = there.recv().unwrap();
            ip(&format!("link set far netns {namespace}"));
            let client = client.recv().unwrap();
            test(&server, &client, &rest);
            drop(client);
            drop(done);
        });
    });
}

/// All of a long answer's question comes by the ring, but for what readmits the flow once a second.
fn is_steered(server: &Server, client: &Client) {
    // The first packets admit the flow.
    client.ask(1000);
    let (packets, datagrams) = server.during(|| client.ask(LONG));
    assert!(
        packets > 700,
        "{packets}: {:#?}",
        server.transport.metrics()
    );
    assert!(
        datagrams < 100,
        "{datagrams}: {:#?}",
        server.transport.metrics()
    );
    let counts = server.transport.metrics().af_xdp;
    let lost = counts.no_frame + counts.ring_full + counts.dropped;
    assert_eq!((counts.unusable, counts.strange, lost), (0, 0, 0));
}

fn is_not_steered(server: &Server, client: &Client) {
    let (packets, datagrams) = server.during(|| client.ask(LONG));
    assert!(packets == 0 && datagrams > 0, "{packets} {datagrams}");
}

#[test]
fn a_connection_s_packets_come_by_the_ring_byte_for_byte() {
    for profile in [Profile::Auto, Profile::Latency] {
        on_a_node(profile, |node, broker, server, client| {
            is_not_steered(server, client);
            assert!(by_udp(&server.transport.metrics(), "no agent"));
            let _agent = Agent::listen(broker, node, Sessions::TakenOver);
            server.until("steered", |metrics| by_af_xdp(metrics, ""));
            is_steered(server, client);
        });
    }
}

#[test]
fn a_session_outlives_its_agent_and_the_next_one_takes_it_over() {
    on_a_node(Profile::Auto, |node, broker, server, client| {
        let first = Agent::listen(broker, node, Sessions::TakenOver);
        server.until("steered", |metrics| by_af_xdp(metrics, ""));
        drop(first);
        server.until("orphaned", |metrics| by_af_xdp(metrics, "agent"));
        is_steered(server, client);
        let second = Agent::listen(broker, node, Sessions::TakenOver);
        server.until("taken over", |_| second.heard().contains(&Message::Ready));
        let heard = second.heard();
        assert!(matches!(heard[0], Message::Resume(_)), "{heard:?}");
        is_steered(server, client);
    });
}

#[test]
fn a_session_that_is_not_taken_over_is_replaced() {
    on_a_node(Profile::Auto, |node, broker, server, client| {
        let first = Agent::listen(broker, node, Sessions::TakenOver);
        server.until("steered", |metrics| by_af_xdp(metrics, ""));
        is_steered(server, client);
        drop(first);
        let second = Agent::listen(broker, node, Sessions::Refused);
        server.until("greeted", |_| second.heard().contains(&Message::Ready));
        server.until("steered", |metrics| by_af_xdp(metrics, ""));
        is_steered(server, client);
    });
}

#[test]
fn a_session_that_the_agent_ends_leaves_the_connection_to_udp() {
    on_a_node(Profile::Auto, |node, broker, server, client| {
        let agent = Agent::listen(broker, node, Sessions::TakenOver);
        server.until("steered", |metrics| by_af_xdp(metrics, ""));
        is_steered(server, client);
        node.disconnect();
        let text = "the transport is gone".to_owned();
        let reason = Reason::NoEndpoint;
        agent.say(&Message::Refused(Refused { reason, text }));
        server.until("refused", |metrics| {
            by_udp(metrics, "the transport is gone")
        });
        is_not_steered(server, client);
    });
}

#[test]
fn told_that_it_is_not_steered_to_it_says_that_it_is_ready_again() {
    on_a_node(Profile::Auto, |node, broker, server, client| {
        let agent = Agent::listen(broker, node, Sessions::TakenOver);
        server.until("steered", |metrics| by_af_xdp(metrics, ""));
        agent.say(&Message::Steered(false));
        let ready = || {
            let heard = agent.heard().into_iter();
            heard.filter(|heard| *heard == Message::Ready).count()
        };
        server.until("ready again", |_| ready() == 2);
        server.until("steered again", |metrics| by_af_xdp(metrics, ""));
        is_steered(server, client);
    });
}

#[test]
fn a_device_that_goes_takes_the_session_with_it_and_nothing_else() {
    on_a_node(Profile::Auto, |node, broker, server, client| {
        let agent = Agent::listen(broker, node, Sessions::TakenOver);
        server.until("steered", |metrics| by_af_xdp(metrics, ""));
        is_steered(server, client);
        drop(agent);
        node.remove_relay();
        server.until("device gone", |metrics| by_udp(metrics, "agent"));
        is_not_steered(server, client);
    });
}

fn direct(scratch: &Scratch, mtu: u16) -> Server {
    let af_xdp = AfXdp::Direct {
        interface: "near".to_owned(),
        bpffs: scratch.bpffs.clone(),
    };
    Server::start(af_xdp, Profile::Auto, mtu)
}

fn by_the_interface(metrics: &Metrics) -> bool {
    let direct = Backend::AfXdp {
        route: Route::Direct,
        copying: Copying::Copy,
        reason: String::new(),
    };
    metrics.backend == direct
}

#[test]
fn with_no_agent_packets_come_from_the_interface_itself() {
    on_a_wire(
        USUAL,
        |scratch| (direct(scratch, USUAL), ()),
        |server, client, ()| {
            server.until("on the interface", by_the_interface);
            is_steered(server, client);
        },
    );
}

#[test]
fn jumbo_frames_come_from_the_interface_in_several_frames_each() {
    on_a_wire(
        JUMBO,
        |scratch| (direct(scratch, JUMBO), ()),
        |server, client, ()| {
            server.until("on the interface", by_the_interface);
            // Until the client has found what the wire carries.
            let until = Instant::now() + Duration::from_secs(10);
            loop {
                let before = server.transport.metrics().af_xdp;
                let (packets, datagrams) = server.during(|| client.ask(LONG));
                let counts = server.transport.metrics().af_xdp;
                let lost = counts.no_frame + counts.ring_full + counts.dropped;
                assert_eq!((counts.unusable, counts.strange, lost), (0, 0, 0));
                assert_eq!(datagrams, 0);
                let bytes = counts.bytes - before.bytes;
                assert!(bytes > LONG as u64, "{bytes} in {packets} packets");
                if bytes / packets > 6500 {
                    break;
                }
                assert!(Instant::now() < until, "{bytes} in {packets} packets");
            }
        },
    );
}

#[test]
fn a_wildcard_on_an_interface_is_the_interface_s_address_wherever_the_default_route_leads() {
    on_a_wire(
        USUAL,
        |scratch| {
            ip("link add other type veth peer name nowhere");
            ip("addr add 10.9.9.1/24 dev other");
            ip("link set other up");
            ip("link set nowhere up");
            ip("route replace default via 10.9.9.2 dev other");
            (direct(scratch, USUAL), ())
        },
        |server, client, ()| {
            server.until("on the interface", by_the_interface);
            is_steered(server, client);
        },
    );
}

#[test]
fn an_interface_with_another_s_program_is_left_to_it() {
    let start = |scratch: &Scratch| {
        let node = Node::up(&scratch.bpffs, "near", SERVER.parse().unwrap());
        (direct(scratch, USUAL), node)
    };
    on_a_wire(USUAL, start, |server, client, _| {
        server.until("refused", |metrics| by_udp(metrics, "of another"));
        is_not_steered(server, client);
    });
}

#[test]
fn a_connection_goes_on_while_packets_come_another_way() {
    on_a_node(Profile::Auto, |node, broker, server, client| {
        let _agent = Agent::listen(broker, node, Sessions::TakenOver);
        for _ in 0..3 {
            server.until("steered", |metrics| by_af_xdp(metrics, ""));
            is_steered(server, client);
            server.switch(false);
            assert!(by_udp(&server.transport.metrics(), "switched off"));
            // Until the agent has heard of it, packets come as they did.
            let until = Instant::now() + Duration::from_secs(5);
            while server.during(|| client.ask(LONG)).0 > 0 {
                assert!(Instant::now() < until, "still steered");
            }
            is_not_steered(server, client);
            server.switch(true);
            client.ask(LONG);
        }
    });
    on_a_wire(
        USUAL,
        |scratch| (direct(scratch, USUAL), ()),
        |server, client, ()| {
            for _ in 0..3 {
                server.until("on the interface", |metrics| {
                    matches!(metrics.backend, Backend::AfXdp { .. })
                });
                is_steered(server, client);
                server.switch(false);
                is_not_steered(server, client);
                server.switch(true);
            }
        },
    );
}
