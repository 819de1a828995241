//! Real QUIC over UDP on the loopback, without root and without eBPF.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use stoq::{
    CertificateDer, Congestion, ConnectionError, Error, Profile, StoqTransport, TransportConfig,
};
use support::{NAME, ask, ask_over, certificates, client, echo, loopback};
use tokio::runtime::Builder;

#[tokio::test]
async fn bytes_come_back_under_every_congestion_control() {
    for congestion in [Congestion::Cubic, Congestion::Bbr, Congestion::NewReno] {
        let (root, identity) = certificates();
        let config = || TransportConfig {
            congestion,
            ..loopback()
        };
        let server = echo(config(), identity).await;
        let client = client(config(), root).await;
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let connection = client.connect(server, NAME).await.unwrap();
        assert!(
            ask_over(&connection, &bytes).await == bytes,
            "{congestion:?}"
        );
        let controller = connection.congestion_state().into_any();
        let applied = match congestion {
            Congestion::Cubic => controller.is::<quinn::congestion::Cubic>(),
            Congestion::Bbr => controller.is::<quinn::congestion::Bbr>(),
            Congestion::NewReno => controller.is::<quinn::congestion::NewReno>(),
        };
        assert!(applied, "{congestion:?}");
    }
}

#[test]
fn bytes_come_back_in_every_profile_on_one_thread_and_on_several() {
    for profile in [Profile::Auto, Profile::Latency, Profile::Throughput] {
        for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async {
                let (root, identity) = certificates();
                let config = || TransportConfig {
                    profile,
                    ..loopback()
                };
                let server = echo(config(), identity).await;
                let client = client(config(), root).await;
                let bytes = vec![7; 300_000];
                assert!(ask(&client, server, &bytes).await == bytes, "{profile:?}");
            });
        }
    }
}

/// More than begin a handshake at a time.
const CROWD: usize = 1100;

#[tokio::test]
async fn a_crowd_that_says_nothing_more_keeps_nobody_waiting() {
    let (root, identity) = certificates();
    let never = || TransportConfig {
        idle_timeout: None,
        ..loopback()
    };
    let server = echo(never(), identity).await;
    let client = client(loopback(), root).await;
    let wire = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nowhere = wire.local_addr().unwrap();
    let mut silent = tokio::task::JoinSet::new();
    let mut seen = HashSet::new();
    let mut first = [0; 2048];
    while seen.len() < CROWD {
        let client = client.clone();
        silent.spawn(async move { client.connect(nowhere, NAME).await });
        let (length, _) = wire.recv_from(&mut first).await.unwrap();
        // The connection id of who begins, RFC 9000, section 17.2.
        let id = first[6..6 + usize::from(first[5])].to_vec();
        if seen.insert(id) {
            // The server begins a handshake that nobody goes on with.
            wire.send_to(&first[..length], server).await.unwrap();
        }
    }
    wire.readable().await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(5), ask(&client, server, b"quick"));
    assert_eq!(answered.await.unwrap(), b"quick");
}

#[tokio::test]
async fn a_known_server_is_spoken_to_at_once_if_that_is_allowed() {
    for zero_rtt in [true, false] {
        let (root, identity) = certificates();
        let config = || TransportConfig {
            zero_rtt,
            ..loopback()
        };
        let server = echo(config(), identity).await;
        let client = client(config(), root).await;
        let (first, accepted) = client.connect_early(server, NAME).await.unwrap();
        assert!(accepted.is_none(), "nothing is known of it yet");
        // The ticket comes with the first answer at the latest.
        assert_eq!(ask_over(&first, b"first").await, b"first");
        let (second, accepted) = client.connect_early(server, NAME).await.unwrap();
        assert_eq!(accepted.is_some(), zero_rtt);
        assert_eq!(ask_over(&second, b"early").await, b"early");
        if let Some(accepted) = accepted {
            assert!(accepted.await);
        }
    }
}

#[tokio::test]
async fn a_path_that_carries_jumbo_frames_is_found_and_used() {
    // The smallest that quinn begins with, what an Ethernet carries, and a jumbo frame.
    for largest in [1200, 1452, 8952] {
        let (root, identity) = certificates();
        let config = || TransportConfig {
            largest_datagram: largest,
            ..loopback()
        };
        let server = echo(config(), identity).await;
        let client = client(config(), root).await;
        let connection = client.connect(server, NAME).await.unwrap();
        let found = async {
            // Discovery ends where what is left to gain is small.
            while connection.stats().path.current_mtu < largest - largest / 100 {
                ask_over(&connection, &[7; 100_000]).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        let path = connection.stats().path;
        assert!(found.is_ok(), "{largest}: {path:?}");
        assert!(path.current_mtu <= largest, "{largest}: {path:?}");
        assert_eq!(path.black_holes_detected, 0);
    }
}

#[tokio::test]
async fn a_wildcard_of_ipv6_takes_ipv4_too() {
    let (root, identity) = certificates();
    let config = TransportConfig::default();
    let port = echo(config, identity).await.port();
    for (bind, server) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let bind = bind.parse().unwrap();
        let config = TransportConfig { bind, ..loopback() };
        let client = client(config, root.clone()).await;
        let server = SocketAddr::new(server.parse().unwrap(), port);
        assert_eq!(ask(&client, server, b"hello").await, b"hello");
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_is_refused() {
    let (root, identity) = certificates();
    let (other, _) = certificates();
    let server = echo(loopback(), identity).await;
    for (root, name) in [(other, NAME), (root, "another.stoq.test")] {
        let client = client(loopback(), root).await;
        let refused = client.connect(server, name).await.unwrap_err();
        let is_tls = matches!(
            refused,
            Error::Connection(ConnectionError::TransportError(_))
        );
        assert!(is_tls, "{refused}");
    }
}

#[tokio::test]
async fn who_trusts_nobody_connects_to_nobody() {
    let (_, identity) = certificates();
    let server = echo(loopback(), identity).await;
    let client = StoqTransport::new(loopback()).await.unwrap();
    let refused = client.connect(server, NAME).await.unwrap_err();
    assert!(matches!(refused, Error::NoRoots), "{refused}");
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let (root, identity) = certificates();
    let server = echo(loopback(), identity).await;
    let alpn = vec![b"other".to_vec()];
    let client = client(TransportConfig { alpn, ..loopback() }, root).await;
    assert!(client.connect(server, NAME).await.is_err());
}

#[tokio::test]
async fn datagrams_arrive_and_are_refused_where_none_are_taken() {
    for datagram_buffer in [Some(10_000), None] {
        let (root, identity) = certificates();
        let config = TransportConfig {
            identity: Some(identity),
            datagram_buffer,
            ..loopback()
        };
        let server = StoqTransport::new(config).await.unwrap();
        let client = client(loopback(), root).await;
        let address = server.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(client.connect(address, NAME), server.accept());
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap().unwrap());
        let sent = ours.send_datagram(b"one".as_slice().into());
        assert_eq!(sent.is_ok(), datagram_buffer.is_some());
        if sent.is_ok() {
            assert_eq!(theirs.read_datagram().await.unwrap(), b"one".as_slice());
        }
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_said_by_its_field() {
    let cases = [
        (
            TransportConfig {
                largest_datagram: 1199,
                ..loopback()
            },
            "largest_datagram: ",
        ),
        (
            TransportConfig {
                idle_timeout: Some(Duration::MAX),
                ..loopback()
            },
            "idle_timeout: ",
        ),
        (
            TransportConfig {
                af_xdp_frames: 96,
                ..loopback()
            },
            "af_xdp_frames: 96: ",
        ),
        (
            TransportConfig {
                bind: "192.0.2.1:1".parse().unwrap(),
                ..TransportConfig::default()
            },
            "bind 192.0.2.1:1: ",
        ),
        (
            TransportConfig {
                roots: vec![CertificateDer::from(vec![1, 2, 3])],
                ..loopback()
            },
            "TLS: ",
        ),
    ];
    for (config, words) in cases {
        let refused = StoqTransport::new(config).await.unwrap_err().to_string();
        assert!(refused.starts_with(words), "{refused}");
    }
}

#[cfg(not(feature = "ebpf"))]
#[tokio::test]
async fn without_the_feature_there_is_udp_and_no_ebpf_status() {
    let transport = StoqTransport::new(loopback()).await.unwrap();
    assert_eq!(transport.get_ebpf_status(), None);
    let stoq::Backend::Udp { reason } = transport.backend() else {
        panic!("{:?}", transport.backend());
    };
    assert!(reason.contains("ebpf"), "{reason}");
}
