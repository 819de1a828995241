//! A connection of any library.

use anyhow::Result;

use super::report::Path;
use super::stream::{Receiving, Sending};

/// A connection; closed when dropped.
pub(super) enum Connection {
    Quinn(quinn::Connection),
    Stoq(stoq::Connection),
    #[cfg(feature = "s2n-quic")]
    S2n(s2n_quic::Connection),
}

impl Connection {
    /// A new stream, both ways.
    pub(super) async fn open(&mut self) -> Result<(Sending, Receiving)> {
        #[cfg(feature = "s2n-quic")]
        if let Self::S2n(connection) = self {
            return Ok(super::s2n_end::split(
                connection.open_bidirectional_stream().await?,
            ));
        }
        let (send, receive) = self.quinn()?.open_bi().await?;
        Ok((Sending::Quinn(send), Receiving::Quinn(receive)))
    }

    /// The peer's next stream; `None` once it has gone.
    pub(super) async fn accept(&mut self) -> Option<(Sending, Receiving)> {
        #[cfg(feature = "s2n-quic")]
        if let Self::S2n(connection) = self {
            let accepted = connection.accept_bidirectional_stream().await;
            return accepted.ok().flatten().map(super::s2n_end::split);
        }
        let (send, receive) = self.quinn().ok()?.accept_bi().await.ok()?;
        Some((Sending::Quinn(send), Receiving::Quinn(receive)))
    }

    /// How the path is; `None` where the library does not tell.
    pub(super) fn path(&self) -> Option<Path> {
        let stats = self.quinn().ok()?.stats();
        Some(Path {
            datagram: stats.path.current_mtu,
            sent: stats.path.sent_packets,
            lost: stats.path.lost_packets,
            rtt_us: stats.path.rtt.as_secs_f64() * 1e6,
        })
    }

    fn quinn(&self) -> Result<&quinn::Connection> {
        match self {
            Self::Quinn(connection) => Ok(connection),
            Self::Stoq(connection) => Ok(connection),
            #[cfg(feature = "s2n-quic")]
            Self::S2n(_) => anyhow::bail!("s2n-quic is not quinn"),
        }
    }
}
