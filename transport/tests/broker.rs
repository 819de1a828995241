//! Agents that are not there, refuse, or make no sense: each ends on UDP, with the reason, and QUIC
//! works all the while.
#![cfg(feature = "ebpf")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType};
use stoq::{AfXdp, Backend, CertificateDer, StoqTransport, TransportConfig};
use stoq_ebpf::af_xdp::Umem;
use stoq_ebpf::broker::{
    self, ChannelError, Granted, Hello, Message, Reason, Refused, encode, receive,
};
use support::{ask, certificates, client, loopback, serve};

/// What an agent does with one connection.
type Manners = fn(&OwnedFd, Hello);

/// Listens at `path`; each connection is kept until the pod ends it.
fn agent(path: &Path, manners: Manners) {
    let listener = listen(path);
    std::thread::spawn(move || {
        while let Ok(connection) = rustix::net::accept(&listener) {
            std::thread::spawn(move || {
                let heard = receive(connection.as_fd());
                let Ok((Message::Hello(hello), fds)) = heard else {
                    panic!("{heard:?}");
                };
                assert!(fds.is_empty());
                manners(&connection, hello);
            });
        }
    });
}

fn listen(path: &Path) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    let kind = SocketType::SEQPACKET;
    let listener = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&listener, 8).unwrap();
    listener
}

fn say(connection: &OwnedFd, message: &Message) {
    broker::send(connection.as_fd(), message, &[]).unwrap();
}

fn grant(hello: Hello) -> Message {
    Message::Granted(Granted {
        session: 1,
        geometry: hello.geometry,
        rings: hello.rings,
    })
}

/// Until the pod has closed the connection.
fn wait(connection: &OwnedFd) {
    while receive(connection.as_fd()).is_ok() {}
}

/// A server that asks the agent at `broker`, and whom its clients trust.
async fn server(broker: &Path) -> (StoqTransport, SocketAddr, CertificateDer<'static>) {
    // The kernel's choice of a moment ago is hardly taken by another.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bind = free.local_addr().unwrap();
    drop(free);
    let (root, identity) = certificates();
    let socket = broker.to_owned();
    let config = TransportConfig {
        bind,
        identity: Some(identity),
        af_xdp: AfXdp::Broker { socket },
        af_xdp_frames: 64,
        ..loopback()
    };
    (StoqTransport::new(config).await.unwrap(), bind, root)
}

async fn until_reason(transport: &StoqTransport, words: &str) {
    let says = async {
        loop {
            match transport.backend() {
                Backend::Udp { reason } if reason.contains(words) => return,
                Backend::Udp { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
                other @ Backend::AfXdp { .. } => panic!("{other:?}"),
            }
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(20), says).await;
    assert!(said.is_ok(), "{words}: {:?}", transport.backend());
}

/// With what is at `path` the server is left with UDP, for a reason in these words, and serves.
async fn ends_on_udp(path: &Path, words: &str) {
    let (server, address, root) = server(path).await;
    let client = client(loopback(), root).await;
    tokio::spawn(serve(server.clone()));
    assert_eq!(ask(&client, address, b"before").await, b"before");
    until_reason(&server, words).await;
    assert_eq!(ask(&client, address, b"after").await, b"after");
    let metrics = server.metrics();
    assert_eq!(metrics.af_xdp, Default::default());
    assert!(metrics.udp_datagrams > 0);
}

async fn with_agent(manners: Manners, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("afxdp.sock");
    agent(&path, manners);
    ends_on_udp(&path, words).await;
}

#[tokio::test]
async fn there_is_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    ends_on_udp(&dir.path().join("afxdp.sock"), "there is no /").await;
}

#[tokio::test]
async fn the_agent_has_gone_and_left_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("afxdp.sock");
    drop(listen(&path));
    ends_on_udp(&path, "no agent listens at /").await;
}

#[tokio::test]
async fn the_agent_refuses() {
    let refuse: Manners = |connection, hello| {
        let text = format!("no transport selects {}", hello.endpoint);
        let reason = Reason::NoEndpoint;
        say(connection, &Message::Refused(Refused { reason, text }));
        wait(connection);
    };
    with_agent(refuse, "no transport selects 127.0.0.1:").await;
}

#[tokio::test]
async fn the_agent_refuses_who_has_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("afxdp.sock");
    let listener = listen(&path);
    std::thread::spawn(move || {
        while let Ok(connection) = rustix::net::accept(&listener) {
            let text = "too many ask".to_owned();
            let reason = Reason::Busy;
            say(&connection, &Message::Refused(Refused { reason, text }));
            rustix::net::shutdown(&connection, Shutdown::Read).unwrap();
            wait(&connection);
        }
    });
    ends_on_udp(&path, "too many ask").await;
}

#[tokio::test]
async fn the_agent_is_silent() {
    with_agent(|connection, _| wait(connection), "did not answer").await;
}

#[tokio::test]
async fn the_agent_speaks_another_version() {
    let foreign: Manners = |connection, _| {
        let mut bytes = encode(&Message::Steered(true));
        bytes[4] = 2;
        rustix::net::send(connection, &bytes, SendFlags::empty()).unwrap();
        wait(connection);
    };
    with_agent(foreign, "speaks version 2").await;
}

#[tokio::test]
async fn the_agent_closes_the_connection() {
    with_agent(|_, _| (), "has closed the connection").await;
}

#[tokio::test]
async fn the_agent_makes_no_sense() {
    let babble: Manners = |connection, _| {
        rustix::net::send(connection, b"hello", SendFlags::empty()).unwrap();
        wait(connection);
    };
    with_agent(babble, "makes no sense: no STOQ message").await;
    with_agent(
        |connection, hello| {
            say(connection, &Message::Hello(hello));
            wait(connection);
        },
        "makes no sense: it says what a pod says",
    )
    .await;
}

#[tokio::test]
async fn the_agent_grants_what_is_none() {
    with_agent(
        |connection, hello| {
            say(connection, &grant(hello));
            wait(connection);
        },
        "a grant with 0 descriptors is not due",
    )
    .await;
    with_agent(
        |connection, hello| {
            let umem = Umem::create(hello.geometry).unwrap();
            let memfd = umem.memfd();
            broker::send(connection.as_fd(), &grant(hello), &[memfd, memfd]).unwrap();
            wait(connection);
        },
        "the socket handed over is no good",
    )
    .await;
    with_agent(
        |connection, hello| {
            let fds = [connection.as_fd(); 2];
            broker::send(connection.as_fd(), &grant(hello), &fds).unwrap();
            wait(connection);
        },
        "the memory handed over is no good",
    )
    .await;
}

#[tokio::test]
async fn an_agent_that_comes_later_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("afxdp.sock");
    let (server, ..) = server(&path).await;
    until_reason(&server, "there is no /").await;
    agent(&path, |connection, _| {
        let text = "come back later".to_owned();
        let reason = Reason::Busy;
        say(connection, &Message::Refused(Refused { reason, text }));
    });
    until_reason(&server, "come back later").await;
}

#[tokio::test]
async fn a_transport_that_goes_ends_the_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("afxdp.sock");
    let listener = listen(&path);
    let (server, ..) = server(&path).await;
    let agent = tokio::task::spawn_blocking(move || {
        let connection = rustix::net::accept(&listener).unwrap();
        let (hello, _) = receive(connection.as_fd()).unwrap();
        (connection, hello)
    });
    let (connection, hello) = agent.await.unwrap();
    assert!(matches!(hello, Message::Hello(_)), "{hello:?}");
    drop(server);
    let last = tokio::task::spawn_blocking(move || receive(connection.as_fd()).map(drop));
    assert_eq!(last.await.unwrap(), Err(ChannelError::Closed));
}

#[tokio::test]
async fn nobody_is_asked_for_nothing() {
    let off = TransportConfig {
        af_xdp: AfXdp::Off,
        ..loopback()
    };
    for (config, words) in [(off, "off"), (loopback(), "the kernel's choice")] {
        let transport = StoqTransport::new(config).await.unwrap();
        until_reason(&transport, words).await;
    }
}
