//! Receiving by AF_XDP sockets that the agent hands over: who asks, and what comes.

mod batch;
mod broker;
mod endpoints;
mod frame;
mod machine;
mod rings;
mod session;
mod watch;

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::RecvMeta;
use stoq_ebpf::af_xdp::Geometry;
use tokio::task::JoinSet;

use self::broker::{Client, Wish};
use self::rings::Rings;
use crate::metrics::AfXdpCounts;
use crate::{AfXdp, Backend, Error, TransportConfig};

/// What a transport knows of its AF_XDP sockets.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    rings: Arc<Rings>,
    /// Why nobody is asked; empty if somebody is.
    idle: &'static str,
}

/// The tasks that talk to the agent. When it is dropped, conversations and sessions end.
#[derive(Debug)]
pub(crate) struct Asking {
    tasks: JoinSet<()>,
    rings: Arc<Rings>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.tasks.abort_all();
        self.rings.end();
    }
}

impl Sockets {
    /// Begins to ask for the sockets of what is bound to `local`. Must be called within a tokio runtime.
    pub(crate) fn ask(
        config: &TransportConfig,
        local: SocketAddr,
    ) -> Result<(Self, Asking), Error> {
        let geometry = geometry(config)?;
        let (wishes, idle) = match wishes(config, local, geometry) {
            Ok(wishes) => (wishes, ""),
            Err(idle) => (Vec::new(), idle),
        };
        let rings = Arc::new(Rings::new(wishes.len(), local.is_ipv6()));
        let mut tasks = JoinSet::new();
        for (slot, wish) in wishes.into_iter().enumerate() {
            tasks.spawn(Client::new(wish, rings.clone(), slot).run());
        }
        let asking = Asking {
            tasks,
            rings: rings.clone(),
        };
        Ok((Self { rings, idle }, asking))
    }

    /// Fills buffers with what waits; how many.
    pub(crate) fn receive(&self, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        self.rings.receive(bufs, metas)
    }

    /// As [`receive`](Self::receive), and with nothing there has the task woken once there is.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<usize> {
        self.rings.poll_receive(cx, bufs, metas)
    }

    pub(crate) fn backend(&self) -> Backend {
        if self.idle.is_empty() {
            return self.rings.backend();
        }
        let reason = self.idle.to_owned();
        Backend::Udp { reason }
    }

    pub(crate) fn counts(&self) -> AfXdpCounts {
        self.rings.counts()
    }
}

/// What to ask for, or why for nothing.
fn wishes(
    config: &TransportConfig,
    local: SocketAddr,
    geometry: Geometry,
) -> Result<Vec<Wish>, &'static str> {
    let AfXdp::Broker { socket } = &config.af_xdp else {
        return Err("AF_XDP is off in the configuration");
    };
    if config.bind.port() == 0 {
        return Err("no StoqTransport selects a port of the kernel's choice");
    }
    let endpoints = endpoints::endpoints(local, endpoints::source);
    if endpoints.is_empty() {
        return Err("the host has no address to be reached at");
    }
    let wish = |endpoint| Wish {
        broker: socket.clone(),
        endpoint,
        geometry,
    };
    Ok(endpoints.into_iter().map(wish).collect())
}

fn geometry(config: &TransportConfig) -> Result<Geometry, Error> {
    // Of a frame, the kernel keeps 256 bytes free in front; headers take up to 70.
    const FITS_SMALL: u16 = 2048 - 256 - 70;
    let size = if config.largest_datagram > FITS_SMALL {
        4096
    } else {
        2048
    };
    Geometry::new(config.af_xdp_frames, size).map_err(|error| Error::Config {
        field: "af_xdp_frames",
        reason: error.to_string(),
    })
}
