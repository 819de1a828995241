//! quinn as it comes, but for the size of datagrams.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig,
};

use super::options::EndOptions;
use crate::quic::tls;

/// One that accepts.
pub(super) fn server(
    options: &EndOptions,
    address: SocketAddr,
    (cert, key): (&Path, &Path),
) -> Result<Endpoint> {
    let mut config = ServerConfig::with_crypto(tls::server(cert, key)?);
    config.transport_config(transport(options));
    open(options, address, Some(config))
}

/// One that connects.
pub(super) fn client(options: &EndOptions, address: SocketAddr, ca: &Path) -> Result<Endpoint> {
    let mut config = ClientConfig::new(tls::client(ca)?);
    config.transport_config(transport(options));
    let mut endpoint = open(options, address, None)?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

fn transport(options: &EndOptions) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(options.datagram);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(discovery))
        .enable_segmentation_offload(!options.no_gso);
    Arc::new(config)
}

fn open(
    options: &EndOptions,
    address: SocketAddr,
    server: Option<ServerConfig>,
) -> Result<Endpoint> {
    // quinn's own, unless larger datagrams are to come in.
    const USUAL: u16 = 1472;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(options.datagram.max(USUAL))?;
    let socket = std::net::UdpSocket::bind(address).with_context(|| address.to_string())?;
    Ok(Endpoint::new(
        config,
        server,
        socket,
        Arc::new(TokioRuntime),
    )?)
}
