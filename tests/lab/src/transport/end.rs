//! An end of any library.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use stoq::metrics::AfXdpCounts;

use super::connection::Connection;
use super::options::{EndOptions, Library};
use super::{quinn_end, stoq_end};

/// What connects or accepts.
pub(super) enum End {
    Quinn(quinn::Endpoint),
    Stoq(stoq::StoqTransport),
    #[cfg(feature = "s2n-quic")]
    S2nServer(tokio::sync::Mutex<s2n_quic::Server>),
    #[cfg(feature = "s2n-quic")]
    S2nClient(s2n_quic::Client),
}

impl End {
    /// One that accepts, with a certificate and its key (PEM files).
    pub(super) async fn server(
        options: &EndOptions,
        address: SocketAddr,
        identity: (&Path, &Path),
    ) -> Result<Self> {
        Ok(match options.library {
            Library::Quinn => Self::Quinn(quinn_end::server(options, address, identity)?),
            Library::Stoq => Self::Stoq(stoq_end::server(options, address, identity).await?),
            #[cfg(feature = "s2n-quic")]
            Library::S2n => super::s2n_end::server(options, address, identity)?,
            #[cfg(not(feature = "s2n-quic"))]
            Library::S2n => anyhow::bail!("built without the feature s2n-quic"),
        })
    }

    /// One that connects, with the authority to trust (PEM file).
    pub(super) async fn client(
        options: &EndOptions,
        address: SocketAddr,
        ca: &Path,
    ) -> Result<Self> {
        Ok(match options.library {
            Library::Quinn => Self::Quinn(quinn_end::client(options, address, ca)?),
            Library::Stoq => Self::Stoq(stoq_end::client(options, address, ca).await?),
            #[cfg(feature = "s2n-quic")]
            Library::S2n => super::s2n_end::client(options, address, ca)?,
            #[cfg(not(feature = "s2n-quic"))]
            Library::S2n => anyhow::bail!("built without the feature s2n-quic"),
        })
    }

    /// The next connection; `None` if its handshake failed or no more will come.
    pub(super) async fn accept(&self) -> Option<Connection> {
        match self {
            Self::Quinn(end) => Some(Connection::Quinn(end.accept().await?.await.ok()?)),
            Self::Stoq(end) => Some(Connection::Stoq(end.accept().await?.ok()?)),
            #[cfg(feature = "s2n-quic")]
            Self::S2nServer(end) => Some(Connection::S2n(end.lock().await.accept().await?)),
            #[cfg(feature = "s2n-quic")]
            Self::S2nClient(_) => None,
        }
    }

    /// A connection to a server with a certificate for `name`.
    pub(super) async fn connect(&self, to: SocketAddr, name: &str) -> Result<Connection> {
        Ok(match self {
            Self::Quinn(end) => Connection::Quinn(end.connect(to, name)?.await?),
            Self::Stoq(end) => Connection::Stoq(end.connect(to, name).await?),
            #[cfg(feature = "s2n-quic")]
            Self::S2nClient(end) => super::s2n_end::connect(end, to, name).await?,
            #[cfg(feature = "s2n-quic")]
            Self::S2nServer(_) => anyhow::bail!("a server does not connect"),
        })
    }

    /// What it receives by, in words; an error with the reason if that is not what was asked for.
    pub(super) async fn backend(&self, options: &EndOptions) -> Result<String, String> {
        match self {
            Self::Stoq(end) => stoq_end::backend(end, &options.af_xdp).await,
            _ => Ok("udp".to_owned()),
        }
    }

    /// Datagrams that came by UDP, and all about AF_XDP; 0 where the library does not tell.
    pub(super) fn counts(&self) -> (u64, AfXdpCounts) {
        match self {
            Self::Stoq(end) => {
                let metrics = end.metrics();
                (metrics.udp_datagrams, metrics.af_xdp)
            }
            _ => (0, AfXdpCounts::default()),
        }
    }

    /// Ends all connections, and waits until the peers know.
    pub(super) async fn close(&self) {
        match self {
            Self::Quinn(end) => {
                end.close(0u32.into(), b"end");
                end.wait_idle().await;
            }
            Self::Stoq(end) => {
                end.close(0u32.into(), b"end");
                end.wait_idle().await;
            }
            #[cfg(feature = "s2n-quic")]
            Self::S2nServer(_) | Self::S2nClient(_) => {}
        }
    }
}
