//! The configuration's certificates, as TLS wants them.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::crypto::ring::default_provider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Error, Identity, TransportConfig};

/// What a client checks; `None` if it trusts nobody.
pub(crate) fn client(config: &TransportConfig) -> Result<Option<QuicClientConfig>, Error> {
    if config.roots.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for root in &config.roots {
        roots.add(root.clone())?;
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols.clone_from(&config.alpn);
    tls.enable_early_data = config.zero_rtt;
    Ok(Some(tls.try_into()?))
}

/// What a server shows.
pub(crate) fn server(
    config: &TransportConfig,
    identity: &Identity,
) -> Result<QuicServerConfig, Error> {
    // The only sizes that QUIC has (RFC 9001, 4.6.1).
    const EARLY_DATA: u32 = u32::MAX;
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    tls.alpn_protocols.clone_from(&config.alpn);
    tls.max_early_data_size = if config.zero_rtt { EARLY_DATA } else { 0 };
    Ok(tls.try_into()?)
}
