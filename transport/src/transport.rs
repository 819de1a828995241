//! The transport itself.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Connection, Endpoint, TokioRuntime, VarInt};

use crate::socket::{self, Socket};
use crate::{Backend, EbpfStatus, Error, TransportConfig, quic};

/// A QUIC endpoint: connects, accepts, or both. Cloned handles share it.
#[derive(Clone, Debug)]
pub struct StoqTransport {
    endpoint: Endpoint,
    client: bool,
    ebpf: Option<EbpfStatus>,
}

impl StoqTransport {
    /// Binds, and is ready to connect, if there are roots, and to accept, if there is an identity.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A configuration that makes no sense, certificates that are none, an address that can't be had.
    pub async fn new(config: TransportConfig) -> Result<Self, Error> {
        let transport = quic::transport(&config)?;
        let client = quic::client(&config, &transport)?;
        let server = quic::server(&config, &transport)?;
        let address = config.bind;
        let refused = |source| Error::Bind { address, source };
        let udp = socket::bind(address).map_err(refused)?;
        let socket = Socket::new(udp, config.largest_datagram).map_err(refused)?;
        let mut endpoint = Endpoint::new_with_abstract_socket(
            quic::endpoint(&config)?,
            server,
            Arc::new(socket),
            Arc::new(TokioRuntime),
        )
        .map_err(refused)?;
        let may_connect = client.is_some();
        if let Some(client) = client {
            endpoint.set_default_client_config(client);
        }
        Ok(Self {
            endpoint,
            client: may_connect,
            ebpf: probe().await,
        })
    }

    /// Connects to a server whose certificate is for `name`.
    ///
    /// # Errors
    /// No roots, an unknown authority or another name, or nobody there.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> Result<Connection, Error> {
        if !self.client {
            return Err(Error::NoRoots);
        }
        Ok(self.endpoint.connect(address, name)?.await?)
    }

    /// The next connection whose handshake is done or has failed; `None` once the transport is closed.
    ///
    /// # Errors
    /// Those of one handshake: the next call goes on with others.
    pub async fn accept(&self) -> Option<Result<Connection, Error>> {
        let incoming = self.endpoint.accept().await?;
        Some(incoming.await.map_err(Error::from))
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Closes every connection at once with an application's error code and reason.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.endpoint.close(code, reason);
    }

    /// Until every connection has said good-bye to its peer.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// What this process could do with eBPF; `None` without the feature `ebpf`.
    pub fn get_ebpf_status(&self) -> Option<EbpfStatus> {
        self.ebpf.clone()
    }

    /// What packets are received by now, and why by nothing faster.
    pub fn backend(&self) -> Backend {
        let reason = if cfg!(feature = "ebpf") {
            "no AF_XDP socket was asked for"
        } else {
            "built without the feature ebpf"
        };
        Backend::Udp {
            reason: reason.to_owned(),
        }
    }
}

#[cfg(feature = "ebpf")]
async fn probe() -> Option<EbpfStatus> {
    // A probe that panicked has found out nothing.
    tokio::task::spawn_blocking(crate::ebpf::probe).await.ok()
}

#[cfg(not(feature = "ebpf"))]
async fn probe() -> Option<EbpfStatus> {
    None
}
