//! Receiving by AF_XDP sockets that the agent hands over: who asks, and what comes.

mod batch;
mod broker;
mod direct;
mod endpoints;
mod frame;
mod machine;
mod rings;
mod session;
mod watch;

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::RecvMeta;
use stoq_ebpf::af_xdp::Geometry;
use tokio::task::JoinSet;

use self::broker::Client;
use self::direct::Direct;
use self::rings::Rings;
use crate::metrics::AfXdpCounts;
use crate::{AfXdp, Backend, Error, Route, TransportConfig};

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
        let mut tasks = JoinSet::new();
        let (rings, idle) = match wish(config, local) {
            Ok((Wish::Agent(broker), endpoints)) => {
                let rings = Rings::new(endpoints.len(), local.is_ipv6(), Route::Relay);
                let rings = Arc::new(rings);
                for (slot, endpoint) in endpoints.into_iter().enumerate() {
                    let wish = broker::Wish {
                        broker: broker.to_owned(),
                        endpoint,
                        geometry,
                    };
                    tasks.spawn(Client::new(wish, rings.clone(), slot).run());
                }
                (rings, "")
            }
            Ok((Wish::Direct(interface, bpffs), endpoints)) => {
                let rings = Arc::new(Rings::new(1, local.is_ipv6(), Route::Direct));
                let direct = Direct {
                    interface: interface.to_owned(),
                    bpffs: bpffs.to_owned(),
                    endpoints,
                    geometry,
                    rings: rings.clone(),
                };
                tasks.spawn(direct.run());
                (rings, "")
            }
            Err(idle) => (Arc::new(Rings::new(0, local.is_ipv6(), Route::Relay)), idle),
        };
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

/// Of whom a socket is had.
enum Wish<'a> {
    /// The agent that listens there.
    Agent(&'a Path),
    /// Nobody: it is put onto this interface, with the help of this BPF file system.
    Direct(&'a str, &'a Path),
}

/// Of whom, and for which addresses, or why of nobody.
fn wish(
    config: &TransportConfig,
    local: SocketAddr,
) -> Result<(Wish<'_>, Vec<SocketAddr>), &'static str> {
    let wish = match &config.af_xdp {
        AfXdp::Off => return Err("AF_XDP is off in the configuration"),
        AfXdp::Broker { .. } if config.bind.port() == 0 => {
            return Err("no StoqTransport selects a port of the kernel's choice");
        }
        AfXdp::Broker { socket } => Wish::Agent(socket),
        AfXdp::Direct { interface, bpffs } => Wish::Direct(interface, bpffs),
    };
    let endpoints = endpoints::endpoints(local, endpoints::source);
    if endpoints.is_empty() {
        return Err("the host has no address to be reached at");
    }
    Ok((wish, endpoints))
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
