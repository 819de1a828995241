//! Real Initials: the first datagrams of real QUIC clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use quinn::ClientConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn_proto::{Endpoint, EndpointConfig};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::version::TLS13;

/// First datagrams of `count` clients of `server_name`, each with keys of its own: 1200 bytes
/// with a ClientHello that a server can decrypt and must answer.
pub(super) fn initials(count: usize, server_name: &str, alpn: &[u8]) -> Result<Vec<Vec<u8>>> {
    let config = client(alpn)?;
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
    (0..count)
        .map(|_| first_datagram(&mut endpoint, config.clone(), server_name))
        .collect()
}

fn first_datagram(
    endpoint: &mut Endpoint,
    config: ClientConfig,
    server_name: &str,
) -> Result<Vec<u8>> {
    let now = Instant::now();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
    let (_, mut connection) = endpoint.connect(now, config, anywhere, server_name)?;
    let mut datagram = Vec::new();
    let sent = connection.poll_transmit(now, 1, &mut datagram);
    sent.map(|_| datagram)
        .context("a new connection has nothing to send")
}

/// It never verifies anything, as no answer reaches it; a trust root it must have all the same.
fn client(alpn: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(rcgen::generate_simple_self_signed([])?.cert.der().clone())?;
    let mut config = rustls::ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(
        config,
    )?)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use quinn::ServerConfig;
    use quinn_proto::DatagramEvent;

    use super::*;

    fn server() -> Endpoint {
        let identity = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key =
            rustls::pki_types::PrivateKeyDer::Pkcs8(identity.signing_key.serialize_der().into());
        let mut tls = rustls::ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"test".to_vec()];
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = Arc::new(ServerConfig::with_crypto(Arc::new(crypto)));
        Endpoint::new(
            Arc::new(EndpointConfig::default()),
            Some(config),
            false,
            None,
        )
    }

    #[test]
    fn a_server_decrypts_and_accepts_them() {
        let mut server = server();
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1234));
        for datagram in initials(3, "a.test", b"test").unwrap() {
            let (now, mut answer) = (Instant::now(), Vec::new());
            let event = server.handle(now, from, None, None, datagram[..].into(), &mut answer);
            let Some(DatagramEvent::NewConnection(incoming)) = event else {
                panic!("no new connection");
            };
            assert!(server.accept(incoming, now, &mut answer, None).is_ok());
        }
    }

    #[test]
    fn each_has_1200_bytes_and_a_connection_id_of_its_own() {
        let initials = initials(8, "a.test", b"test").unwrap();
        assert!(initials.iter().all(|datagram| datagram.len() == 1200));
        let ids: HashSet<&[u8]> = initials.iter().map(|datagram| &datagram[6..14]).collect();
        assert_eq!(ids.len(), 8);
    }
}
