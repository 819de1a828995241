//! Endpoints with counted sockets, and the transport options both peers share.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig};

use super::observe::Observed;
use super::rounds::TimedCubic;
use super::sizes::SocketSizes;
use super::socket::CountingSocket;
use super::tls;

/// A silent peer is given up after this long.
const IDLE: Duration = Duration::from_secs(10);
/// Enough that overload shows as latency and loss, not as waiting for stream credit.
const STREAMS: u32 = 10_000;
/// What quinn accepts without being told, in UDP payload bytes.
const USUAL_PAYLOAD: u16 = 1472;

/// Whether a sender hands the kernel many datagrams at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Gso {
    /// Up to ten at once.
    On,
    /// One by one.
    Off,
}

/// What both peers can vary.
#[derive(Debug, Clone, Args)]
pub struct TransportOptions {
    /// Segmentation offload when sending.
    #[arg(long, value_enum, default_value_t = Gso::On)]
    pub gso: Gso,
    /// Never spin (quinn itself leaves one connection in eight without).
    #[arg(long)]
    pub no_spin: bool,
    /// Send datagrams of this many bytes from the start, instead of discovering the size.
    #[arg(long)]
    pub mtu: Option<u16>,
    /// Keep so many bytes on their way, whatever is lost, instead of what congestion control allows.
    #[arg(long)]
    pub window: Option<u64>,
}

impl TransportOptions {
    fn transport(&self, observed: &Observed) -> Result<Arc<TransportConfig>> {
        let congestion = TimedCubic {
            round_trips: observed.round_trips.clone(),
            window: self.window,
        };
        let mut config = TransportConfig::default();
        config
            .congestion_controller_factory(Arc::new(congestion))
            .max_idle_timeout(Some(IDLE.try_into()?))
            .max_concurrent_bidi_streams(STREAMS.into())
            .allow_spin(!self.no_spin)
            .enable_segmentation_offload(self.gso == Gso::On);
        if let Some(mtu) = self.mtu {
            config.initial_mtu(mtu).mtu_discovery_config(None);
        }
        Ok(Arc::new(config))
    }

    fn endpoint(&self) -> Result<EndpointConfig> {
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(self.mtu.unwrap_or(0).max(USUAL_PAYLOAD))?;
        Ok(config)
    }

    /// What a client connects with.
    pub(super) fn client_config(&self, ca: &Path, observed: &Observed) -> Result<ClientConfig> {
        let mut config = ClientConfig::new(tls::client(ca)?);
        config.transport_config(self.transport(observed)?);
        Ok(config)
    }

    /// A server endpoint on `address`.
    pub(super) fn server(
        &self,
        address: SocketAddr,
        (cert, key): (&Path, &Path),
        observed: &Observed,
    ) -> Result<Endpoint> {
        let mut config = ServerConfig::with_crypto(tls::server(cert, key)?);
        config.transport_config(self.transport(observed)?);
        self.open(address, Some(config), observed.sizes.clone())
    }

    /// A client endpoint with a socket of its own.
    pub(super) fn client(&self, local: SocketAddr, sizes: Arc<SocketSizes>) -> Result<Endpoint> {
        self.open(local, None, sizes)
    }

    fn open(
        &self,
        address: SocketAddr,
        server: Option<ServerConfig>,
        sizes: Arc<SocketSizes>,
    ) -> Result<Endpoint> {
        let socket = CountingSocket::bind(address, sizes).with_context(|| address.to_string())?;
        let runtime = Arc::new(TokioRuntime);
        Ok(Endpoint::new_with_abstract_socket(
            self.endpoint()?,
            server,
            socket,
            runtime,
        )?)
    }
}
