//! The configuration, as quinn wants it.

use std::sync::Arc;

use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::{ClientConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, VarInt};

use crate::{Congestion, Error, TransportConfig, tls};

/// What connections keep to.
pub(crate) fn transport(config: &TransportConfig) -> Result<Arc<quinn::TransportConfig>, Error> {
    let mut quic = quinn::TransportConfig::default();
    let idle = config.idle_timeout.map(IdleTimeout::try_from).transpose();
    let idle = idle.map_err(|_| wrong("idle_timeout", "longer than QUIC can say (2^62 ms)"))?;
    quic.max_idle_timeout(idle)
        .keep_alive_interval(config.keep_alive)
        .stream_receive_window(config.stream_window.into())
        .receive_window(config.connection_window.map_or(VarInt::MAX, VarInt::from))
        .max_concurrent_bidi_streams(config.streams.into())
        .max_concurrent_uni_streams(config.streams.into())
        .datagram_receive_buffer_size(config.datagram_buffer)
        .mtu_discovery_config(Some(discovery(config)?))
        .enable_segmentation_offload(config.segmentation_offload);
    match config.congestion {
        Congestion::Cubic => {
            quic.congestion_controller_factory(Arc::new(CubicConfig::default()));
        }
        Congestion::Bbr => {
            quic.congestion_controller_factory(Arc::new(BbrConfig::default()));
        }
        Congestion::NewReno => {
            quic.congestion_controller_factory(Arc::new(NewRenoConfig::default()));
        }
    }
    Ok(Arc::new(quic))
}

fn discovery(config: &TransportConfig) -> Result<MtuDiscoveryConfig, Error> {
    const SMALLEST: u16 = 1200;
    if config.largest_datagram < SMALLEST {
        let reason = "QUIC needs paths that carry 1200 bytes (RFC 9000, 14)";
        return Err(wrong("largest_datagram", reason));
    }
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(config.largest_datagram);
    Ok(discovery)
}

/// What the endpoint keeps to.
pub(crate) fn endpoint(config: &TransportConfig) -> Result<EndpointConfig, Error> {
    let mut endpoint = EndpointConfig::default();
    let size = config.largest_datagram.max(1472);
    let set = endpoint.max_udp_payload_size(size).map(drop);
    set.map_err(|error| wrong("largest_datagram", &error.to_string()))?;
    Ok(endpoint)
}

/// For those who connect; `None` if there is nobody to trust.
pub(crate) fn client(
    config: &TransportConfig,
    transport: &Arc<quinn::TransportConfig>,
) -> Result<Option<ClientConfig>, Error> {
    let Some(tls) = tls::client(config)? else {
        return Ok(None);
    };
    let mut client = ClientConfig::new(Arc::new(tls));
    client.transport_config(transport.clone());
    Ok(Some(client))
}

/// For those who accept; `None` if there is nothing to show.
pub(crate) fn server(
    config: &TransportConfig,
    transport: &Arc<quinn::TransportConfig>,
) -> Result<Option<ServerConfig>, Error> {
    let Some(identity) = &config.identity else {
        return Ok(None);
    };
    let tls = tls::server(config, identity)?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server.transport_config(transport.clone());
    server.migration(config.migration);
    Ok(Some(server))
}

fn wrong(field: &'static str, reason: &str) -> Error {
    let reason = reason.to_owned();
    Error::Config { field, reason }
}
