//! AF_XDP for real (root): a client in a namespace of its own, a server that asks an agent, packets
//! that come by the uplink's program and a relay, and one QUIC connection that outlives it all.
#![cfg(feature = "ebpf")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod node;
#[path = "../../ebpf/tests/support/mod.rs"]
mod scratch;
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use node::{Agent, Node, Sessions};
use scratch::{Scratch, in_scratch, ip};
use stoq::metrics::Metrics;
use stoq::{
    AfXdp, Backend, CertificateDer, Connection, Copying, Profile, Route, StoqTransport,
    TransportConfig,
};
use stoq_ebpf::broker::{Message, Reason, Refused};
use support::{NAME, ask_over, certificates, loopback, serve};
use tokio::runtime;

const SERVER: &str = "10.0.0.1:4433";
const CLIENT: &str = "10.0.0.2:0";
/// Bytes of one question, and of its answer.
const LONG: usize = 1 << 20;

/// One client, in a namespace at the other end of the wire `near` - `far`.
struct Client {
    runtime: runtime::Runtime,
    connection: Connection,
    _transport: StoqTransport,
}

impl Client {
    fn connect(root: CertificateDer<'static>) -> Self {
        ip("addr add 10.0.0.2/24 dev far");
        ip("link set far up");
        // As on a wire: the kernel takes no unfinished checksums from a relay.
        let whole = ["-K", "far", "tx", "off", "gso", "off"];
        let output = Command::new("ethtool").args(whole).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let runtime = runtime();
        let (transport, connection) = runtime.block_on(async {
            let config = TransportConfig {
                bind: CLIENT.parse().unwrap(),
                roots: vec![root],
                af_xdp: AfXdp::Off,
                ..loopback()
            };
            let transport = StoqTransport::new(config).await.unwrap();
            let connection = transport
                .connect(SERVER.parse().unwrap(), NAME)
                .await
                .unwrap();
            (transport, connection)
        });
        Self {
            runtime,
            connection,
            _transport: transport,
        }
    }

    /// Has the server send so many bytes back.
    fn ask(&self, bytes: usize) {
        let question: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let answer = ask_over(&self.connection, &question);
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), answer)
                .await
                .unwrap()
        });
        assert!(answer == question);
    }
}

fn runtime() -> runtime::Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// The server, on the node.
struct Server {
    runtime: runtime::Runtime,
    transport: StoqTransport,
    root: CertificateDer<'static>,
}

impl Server {
    fn start(broker: &Path, profile: Profile) -> Self {
        let (root, identity) = certificates();
        let socket = broker.to_owned();
        let config = TransportConfig {
            bind: "[::]:4433".parse().unwrap(),
            identity: Some(identity),
            af_xdp: AfXdp::Broker { socket },
            af_xdp_frames: 1024,
            profile,
            ..loopback()
        };
        let runtime = runtime();
        let transport = runtime.block_on(StoqTransport::new(config)).unwrap();
        runtime.spawn(serve(transport.clone()));
        Self {
            runtime,
            transport,
            root,
        }
    }

    fn until(&self, what: &str, is: impl Fn(&Metrics) -> bool) {
        let so = async {
            while !is(&self.transport.metrics()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let so = async { tokio::time::timeout(Duration::from_secs(15), so).await };
        let so = self.runtime.block_on(so);
        assert!(so.is_ok(), "{what}: {:#?}", self.transport.metrics());
    }

    /// Packets by AF_XDP and datagrams by UDP that `happen` brings.
    fn during(&self, happen: impl FnOnce()) -> (u64, u64) {
        let before = self.transport.metrics();
        happen();
        let after = self.transport.metrics();
        (
            after.af_xdp.packets - before.af_xdp.packets,
            after.udp_datagrams - before.udp_datagrams,
        )
    }
}

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
    in_scratch(|scratch| {
        ip("addr add 10.0.0.1/24 dev near");
        // The family that has no address is not asked for; the other has no route but the wire.
        ip("route add default via 10.0.0.2 dev near");
        let dir = tempfile::tempdir().unwrap();
        let broker = dir.path().join("afxdp.sock");
        let node = Node::up(&scratch.bpffs, "near", SERVER.parse().unwrap());
        let server = Server::start(&broker, profile);
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
                    connected.send(Client::connect(root)).unwrap();
                    // Until the test is done, or has failed.
                    _ = until.recv();
                });
            });
            let namespace = there.recv().unwrap();
            ip(&format!("link set far netns {namespace}"));
            let client = client.recv().unwrap();
            test(&node, &broker, &server, &client);
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
