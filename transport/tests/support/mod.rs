//! A server that echoes, a client that asks, and certificates for both.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use stoq::{CertificateDer, Connection, Identity, StoqTransport, TransportConfig};

/// Most bytes of one stream.
const MOST: usize = 16 << 20;

pub(crate) const NAME: &str = "server.stoq.test";

/// An authority's certificate, and an identity for [`NAME`] that leads to it.
pub(crate) fn certificates() -> (CertificateDer<'static>, Identity) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
    let key = key.serialize_der().try_into().unwrap();
    (root, Identity { chain, key })
}

pub(crate) fn loopback() -> TransportConfig {
    TransportConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        idle_timeout: Some(Duration::from_secs(5)),
        ..TransportConfig::default()
    }
}

/// A server that sends every stream's bytes back.
pub(crate) async fn echo(config: TransportConfig, identity: Identity) -> SocketAddr {
    let identity = Some(identity);
    let server = StoqTransport::new(TransportConfig { identity, ..config })
        .await
        .unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(serve(server));
    address
}

/// Sends every stream's bytes back.
pub(crate) async fn serve(server: StoqTransport) {
    while let Some(accepted) = server.accept().await {
        let Ok(connection) = accepted else { continue };
        tokio::spawn(async move {
            while let Ok((mut to, mut from)) = connection.accept_bi().await {
                let bytes = from.read_to_end(MOST).await.unwrap();
                to.write_all(&bytes).await.unwrap();
                to.finish().unwrap();
            }
        });
    }
}

pub(crate) async fn client(
    config: TransportConfig,
    root: CertificateDer<'static>,
) -> StoqTransport {
    let roots = vec![root];
    StoqTransport::new(TransportConfig { roots, ..config })
        .await
        .unwrap()
}

pub(crate) async fn ask(client: &StoqTransport, server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let connection = client.connect(server, NAME).await.unwrap();
    ask_over(&connection, bytes).await
}

pub(crate) async fn ask_over(connection: &Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut to, mut from) = connection.open_bi().await.unwrap();
    to.write_all(bytes).await.unwrap();
    to.finish().unwrap();
    from.read_to_end(MOST).await.unwrap()
}
