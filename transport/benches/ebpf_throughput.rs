//! A quick number without root: this crate and plain quinn over the loopback, in turns, both ends in
//! one thread. AF_XDP has nothing to do there: for that, and for all that is promised, there is
//! `make bench` (root), of which `target/release/bench --only transport --only ratio` is this crate's.
#![allow(clippy::unwrap_used, reason = "nobody handles a benchmark's errors")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::rustls::pki_types::PrivateKeyDer;
use quinn::{ClientConfig, Endpoint, ServerConfig};
use stoq::{AfXdp, CertificateDer, Identity, StoqTransport, TransportConfig};

const NAME: &str = "bench.stoq.test";
const TIME: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let quinn = over_quinn().await;
        let stoq = over_stoq().await;
        ratios.push(stoq / quinn);
        println!("round {round}: stoq {stoq:.2} Gbit/s, quinn {quinn:.2} Gbit/s");
    }
    ratios.sort_by(f64::total_cmp);
    let (min, median, max) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    println!("stoq/quinn on the loopback: {min:.2} - {median:.2} - {max:.2}");
    println!(
        "AF_XDP and latency: make bench, or target/release/bench --only transport --only ratio"
    );
}

async fn over_stoq() -> f64 {
    let (root, key) = certificate();
    let identity = Identity {
        chain: vec![root.clone()],
        key,
    };
    let config = || TransportConfig {
        bind: local(),
        af_xdp: AfXdp::Off,
        ..TransportConfig::default()
    };
    let server = TransportConfig {
        identity: Some(identity),
        ..config()
    };
    let client = TransportConfig {
        roots: vec![root],
        ..config()
    };
    let server = StoqTransport::new(server).await.unwrap();
    let client = StoqTransport::new(client).await.unwrap();
    let (accepted, connected) = tokio::join!(
        server.accept(),
        client.connect(server.local_addr().unwrap(), NAME)
    );
    between(&accepted.unwrap().unwrap(), &connected.unwrap()).await
}

async fn over_quinn() -> f64 {
    let (root, key) = certificate();
    let mut roots = quinn::rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ServerConfig::with_single_cert(vec![root], key).unwrap();
    let server = Endpoint::server(config, local()).unwrap();
    let mut client = Endpoint::client(local()).unwrap();
    client
        .set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots)).unwrap());
    let to = server.local_addr().unwrap();
    let accept = async { server.accept().await.unwrap().await.unwrap() };
    let (accepted, connected) = tokio::join!(accept, client.connect(to, NAME).unwrap());
    between(&accepted, &connected.unwrap()).await
}

/// Gbit/s of one stream.
async fn between(server: &quinn::Connection, client: &quinn::Connection) -> f64 {
    let mut send = client.open_uni().await.unwrap();
    let begin = Instant::now();
    let sent = async {
        let mut bytes = 0;
        while begin.elapsed() < TIME {
            send.write_all(&ZEROES).await.unwrap();
            bytes += ZEROES.len();
        }
        send.finish().unwrap();
        bytes
    };
    let received = async {
        let mut receive = server.accept_uni().await.unwrap();
        let mut bytes = 0;
        while let Some(chunk) = receive.read_chunk(usize::MAX, true).await.unwrap() {
            bytes += chunk.bytes.len();
        }
        bytes
    };
    let (sent, received) = tokio::join!(sent, received);
    assert_eq!(sent, received, "bytes were lost");
    received as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let signed = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let key = signed.signing_key.serialize_der().try_into().unwrap();
    (signed.cert.der().clone(), key)
}

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}
