//! What a transport says it has carried.
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod support;

use std::time::Duration;

use prometheus::{Registry, TextEncoder};
use stoq::metrics::Metrics;
use stoq::{ConnectionError, StoqTransport, TransportConfig};
use support::{NAME, ask_over, certificates, client, echo, loopback};

/// Until the numbers are as `they` should be.
async fn until(transport: &StoqTransport, they: impl Fn(&Metrics) -> bool) -> Metrics {
    let are = async {
        loop {
            let metrics = transport.metrics();
            if they(&metrics) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let until = tokio::time::timeout(Duration::from_secs(5), are).await;
    until.unwrap_or_else(|_| panic!("{:?}", transport.metrics()))
}

#[tokio::test]
async fn a_connection_is_seen_while_it_has_a_handle_and_counted_after() {
    let (root, identity) = certificates();
    let server = echo(loopback(), identity).await;
    let client = client(loopback(), root).await;
    let connection = client.connect(server, NAME).await.unwrap();
    ask_over(&connection, &[1; 100_000]).await;

    let live = client.metrics();
    let [one] = live.connections[..] else {
        panic!("{live:?}");
    };
    assert_eq!(one.peer, server);
    assert!(!one.rtt.is_zero() && one.rtt < Duration::from_secs(1));
    assert!(one.traffic.sent_bytes > 100_000 && one.traffic.received_bytes > 100_000);
    assert!(live.udp_datagrams > 60, "{live:?}");

    let other = connection.clone();
    drop(connection);
    assert_eq!(client.metrics().connections.len(), 1, "a handle is left");
    drop(other);
    let gone = client.metrics();
    assert_eq!(gone.connections, []);
    assert!(gone.total.sent_bytes >= live.total.sent_bytes, "{gone:?}");
    assert!(gone.total.received_bytes >= live.total.received_bytes);
}

#[tokio::test]
async fn watching_keeps_no_connection_open() {
    let (root, identity) = certificates();
    let config = TransportConfig {
        identity: Some(identity),
        ..loopback()
    };
    let server = StoqTransport::new(config).await.unwrap();
    let client = client(loopback(), root).await;
    let address = server.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(client.connect(address, NAME), server.accept());
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap().unwrap());
    until(&client, |metrics| metrics.connections.len() == 1).await;
    drop(ours);
    let closed = tokio::time::timeout(Duration::from_secs(5), theirs.closed()).await;
    let closed = closed.unwrap();
    assert!(
        matches!(closed, ConnectionError::ApplicationClosed(_)),
        "{closed}"
    );
}

#[tokio::test]
async fn a_registry_shows_them_for_each_transport() {
    let (root, identity) = certificates();
    let server = echo(loopback(), identity).await;
    let clients = [
        client(loopback(), root.clone()).await,
        client(loopback(), root).await,
    ];
    let registry = Registry::new();
    for client in &clients {
        registry
            .register(Box::new(client.collector().unwrap()))
            .unwrap();
    }
    let connection = clients[0].connect(server, NAME).await.unwrap();
    ask_over(&connection, b"hello").await;
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    let value = |name: &str, client: &StoqTransport| {
        let local = client.local_addr().unwrap();
        let labelled = format!("local=\"{local}\"");
        let line = { text.lines() }.find(|line| line.starts_with(name) && line.contains(&labelled));
        line.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    assert_eq!(value("stoq_transport_connections{", &clients[0]), Some(1.0));
    assert_eq!(value("stoq_transport_connections{", &clients[1]), Some(0.0));
    assert!(
        value("stoq_transport_udp_datagrams_total{", &clients[0]) >= Some(2.0),
        "{text}"
    );
    assert!(
        value("stoq_transport_rtt_seconds{", &clients[0]) > Some(0.0),
        "{text}"
    );
    assert_eq!(
        value("stoq_transport_rtt_seconds{", &clients[1]),
        None,
        "{text}"
    );
    for line in [
        "backend=\"udp\"",
        "reason=\"no_frame\"",
        "quantile=\"0.99\"",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        text.contains("# TYPE stoq_transport_sent_bytes_total counter"),
        "{text}"
    );
}

#[tokio::test]
async fn a_registry_does_not_keep_the_transport() {
    let transport = StoqTransport::new(loopback()).await.unwrap();
    let local = transport.local_addr().unwrap();
    let registry = Registry::new();
    registry
        .register(Box::new(transport.collector().unwrap()))
        .unwrap();
    drop(transport);
    let free = async {
        while std::net::UdpSocket::bind(local).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), free)
        .await
        .unwrap();
    assert!(!registry.gather().is_empty());
}
