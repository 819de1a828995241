//! The transport itself.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionError, Endpoint, Incoming, TokioRuntime, VarInt, ZeroRttAccepted};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::af_xdp::{Asking, Sockets};
use crate::metrics::{Metrics, Observer};
use crate::socket::{self, Socket};
use crate::{Backend, Connection, EbpfStatus, Error, TransportConfig, quic};

/// A QUIC endpoint: connects, accepts, or both. Cloned handles share it.
#[derive(Clone, Debug)]
pub struct StoqTransport {
    endpoint: Endpoint,
    client: bool,
    ebpf: Option<EbpfStatus>,
    observer: Observer,
    asking: Arc<Asking>,
    /// Those of who wants to be accepted.
    handshakes: Arc<Mutex<JoinSet<Result<quinn::Connection, ConnectionError>>>>,
}

/// Most handshakes at a time; others wait to begin.
const HANDSHAKES: usize = 1024;
/// As many, and whoever comes must show first that its address is its own (RFC 9000, section 8.1.2): what
/// is sent with addresses of others then keeps nobody out.
const UNPROVEN_HANDSHAKES: usize = 64;
/// Whoever takes longer for its handshake is not waited for.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl StoqTransport {
    /// Binds, and is ready to connect, if there are roots, and to accept, if there is an identity.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A configuration that makes no sense, certificates that are none, an address that can't be had.
    pub async fn new(config: TransportConfig) -> Result<Self, Error> {
        config.check()?;
        let transport = quic::transport(&config)?;
        let client = quic::client(&config, &transport)?;
        let server = quic::server(&config, &transport)?;
        let address = config.bind;
        let refused = |source| Error::Bind { address, source };
        let udp = socket::bind(address).map_err(refused)?;
        let local = udp.local_addr().map_err(refused)?;
        let (sockets, asking) = Sockets::ask(&config, local)?;
        let observer = Observer::new(sockets.clone());
        let socket =
            Socket::new(udp, &config, sockets, asking.clone(), observer.udp()).map_err(refused)?;
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
            observer,
            asking,
            handshakes: Arc::default(),
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
        let connection = self.endpoint.connect(address, name)?.await?;
        Ok(self.observer.observe(connection))
    }

    /// The same, and where the server has been spoken to before, and the configuration allows it, at
    /// once: what is sent before [`ZeroRttAccepted`] has resolved to `true` can be replayed by an
    /// attacker, and is lost if it resolves to `false`.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn connect_early(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> Result<(Connection, Option<ZeroRttAccepted>), Error> {
        if !self.client {
            return Err(Error::NoRoots);
        }
        let (connection, accepted) = match self.endpoint.connect(address, name)?.into_0rtt() {
            Ok((connection, accepted)) => (connection, Some(accepted)),
            Err(connecting) => (connecting.await?, None),
        };
        Ok((self.observer.observe(connection), accepted))
    }

    /// The next connection whose handshake is done or has failed; `None` once the transport is closed.
    ///
    /// # Errors
    /// Those of one handshake: the next call goes on with others.
    pub async fn accept(&self) -> Option<Result<Connection, Error>> {
        // Whoever says nothing after its first packet keeps nobody else waiting.
        let mut handshakes = self.handshakes.lock().await;
        let mut open = true;
        loop {
            let room = open && handshakes.len() < HANDSHAKES;
            tokio::select! {
                incoming = self.endpoint.accept(), if room => match incoming {
                    Some(incoming) if handshakes.len() >= UNPROVEN_HANDSHAKES && incoming.may_retry() => {
                        // It fails only where it may not be done.
                        drop(incoming.retry());
                    }
                    Some(incoming) => drop(handshakes.spawn(handshake(incoming))),
                    None => open = false,
                },
                Some(done) = handshakes.join_next() => {
                    // One that panicked is none.
                    let Ok(accepted) = done else { continue };
                    let accepted = accepted.map_err(Error::from);
                    return Some(accepted.map(|connection| self.observer.observe(connection)));
                }
                else => return None,
            }
        }
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
        let mut status = self.ebpf.clone()?;
        // From the agent, as a rule in a process that could not make one.
        status.af_xdp_available |= matches!(self.backend(), Backend::AfXdp { .. });
        Some(status)
    }

    /// What packets are received by now, and why by nothing faster.
    pub fn backend(&self) -> Backend {
        self.observer.backend()
    }

    /// Has packets come by AF_XDP as far as that is possible, as in the beginning, or by UDP alone.
    /// Connections go on whatever they come by.
    pub async fn use_af_xdp(&self, on: bool) {
        self.asking.switch(on).await;
    }

    /// What was received and lost so far, and how the live connections are.
    pub fn metrics(&self) -> Metrics {
        self.observer.metrics()
    }

    /// The same for a Prometheus registry, with the bound address as the label `local`. It keeps the
    /// transport's numbers, not the transport.
    ///
    /// # Errors
    /// The kernel does not say where the transport is bound.
    #[cfg(feature = "prometheus")]
    pub fn collector(&self) -> std::io::Result<crate::metrics::Collector> {
        let local = self.local_addr()?;
        Ok(crate::metrics::Collector::new(self.observer.clone(), local))
    }
}

async fn handshake(incoming: Incoming) -> Result<quinn::Connection, ConnectionError> {
    let done = timeout(HANDSHAKE, incoming.into_future());
    done.await.unwrap_or(Err(ConnectionError::TimedOut))
}

#[cfg(feature = "ebpf")]
async fn probe() -> Option<EbpfStatus> {
    // A probe that panicked has found out nothing.
    let found = tokio::task::spawn_blocking(crate::ebpf::probe).await.ok()?;
    Some(found.clone())
}

#[cfg(not(feature = "ebpf"))]
async fn probe() -> Option<EbpfStatus> {
    None
}
