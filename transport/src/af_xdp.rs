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
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn::udp::RecvMeta;
use stoq_ebpf::af_xdp::Geometry;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use self::broker::{Client, Wish};
use self::direct::Direct;
use self::machine::Standing;
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

/// How long it may take to empty a socket's ring.
const GIVEN_BACK: Duration = Duration::from_secs(1);
/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(10);

/// Who asks for sockets. When it is dropped, conversations and sessions end.
#[derive(Debug)]
pub(crate) struct Asking {
    plan: Plan,
    rings: Arc<Rings>,
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
}

/// Of whom a socket is had, for what.
#[derive(Debug)]
enum Plan {
    /// Of the agent, one for each.
    Agent(Vec<Wish>),
    /// Of nobody: it is put onto an interface.
    Direct(Direct),
    Nobody,
}

impl Asking {
    /// Has packets come by AF_XDP as far as possible, or by UDP alone.
    pub(crate) async fn switch(&self, on: bool) {
        let mut tasks = self.tasks.lock().await;
        if on {
            self.begin(&mut tasks);
            return;
        }
        tasks.shutdown().await;
        for slot in 0..self.slots() {
            self.rings.retire(slot);
            let why = "AF_XDP is switched off".to_owned();
            self.rings.stand(slot, Standing::Udp(why));
        }
        // Until they are empty and given back; a receiver that is held up gives them back later.
        let until = Instant::now() + GIVEN_BACK;
        while self.rings.is_retiring() && Instant::now() < until {
            self.rings.wake();
            tokio::time::sleep(LOOK).await;
        }
    }

    fn begin(&self, tasks: &mut JoinSet<()>) {
        if !tasks.is_empty() {
            return;
        }
        match &self.plan {
            Plan::Agent(wishes) => {
                for (slot, wish) in wishes.iter().enumerate() {
                    let client = Client::new(wish.clone(), self.rings.clone(), slot);
                    tasks.spawn_on(client.run(), &self.runtime);
                }
            }
            Plan::Direct(direct) => {
                tasks.spawn_on(direct.clone().run(self.rings.clone()), &self.runtime);
            }
            Plan::Nobody => {}
        }
    }

    fn slots(&self) -> usize {
        self.plan.slots()
    }
}

impl Plan {
    fn slots(&self) -> usize {
        match self {
            Self::Agent(wishes) => wishes.len(),
            Self::Direct(_) => 1,
            Self::Nobody => 0,
        }
    }

    fn route(&self) -> Route {
        match self {
            Self::Direct(_) => Route::Direct,
            Self::Agent(_) | Self::Nobody => Route::Relay,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.tasks.get_mut().abort_all();
        self.rings.end();
    }
}

impl Sockets {
    /// Begins to ask for the sockets of what is bound to `local`. Must be called within a tokio runtime.
    pub(crate) fn ask(
        config: &TransportConfig,
        local: SocketAddr,
    ) -> Result<(Self, Arc<Asking>), Error> {
        let geometry = geometry(config)?;
        let (plan, idle) = match plan(config, local, geometry) {
            Ok(plan) => (plan, ""),
            Err(idle) => (Plan::Nobody, idle),
        };
        let rings = Rings::new(plan.slots(), local.is_ipv6(), plan.route());
        let rings = Arc::new(rings);
        let mut tasks = JoinSet::new();
        let mut asking = Asking {
            plan,
            rings: rings.clone(),
            runtime: Handle::current(),
            tasks: Mutex::default(),
        };
        asking.begin(&mut tasks);
        *asking.tasks.get_mut() = tasks;
        Ok((Self { rings, idle }, Arc::new(asking)))
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

/// Of whom, and for what, or why of nobody.
fn plan(
    config: &TransportConfig,
    local: SocketAddr,
    geometry: Geometry,
) -> Result<Plan, &'static str> {
    let endpoints = || match endpoints::endpoints(local, endpoints::source) {
        none if none.is_empty() => Err("the host has no address to be reached at"),
        some => Ok(some),
    };
    match &config.af_xdp {
        AfXdp::Off => Err("AF_XDP is off in the configuration"),
        // What does not fit is lost, and peers would find a path for less than UDP carries.
        AfXdp::Broker { .. } if config.largest_datagram > FITS_LARGE => {
            Err("largest_datagram is more than the 3770 bytes that fit a frame of the agent's")
        }
        AfXdp::Broker { .. } if config.bind.port() == 0 => {
            Err("no StoqTransport selects a port of the kernel's choice")
        }
        AfXdp::Broker { socket } => {
            let wish = |endpoint| Wish {
                broker: socket.clone(),
                endpoint,
                geometry,
            };
            Ok(Plan::Agent(endpoints()?.into_iter().map(wish).collect()))
        }
        AfXdp::Direct { interface, bpffs } => Ok(Plan::Direct(Direct {
            interface: interface.clone(),
            bpffs: bpffs.clone(),
            local,
            geometry,
        })),
    }
}

/// Bytes of payload in a frame of 2048, of which the kernel keeps 256 free in front; headers take up to 70.
const FITS_SMALL: u16 = 2048 - 256 - 70;
/// The same in one of 4096.
const FITS_LARGE: u16 = 4096 - 256 - 70;

fn geometry(config: &TransportConfig) -> Result<Geometry, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_that_fit_no_frame_of_the_agent_s_stay_with_udp() {
        let broker = AfXdp::default();
        let direct = AfXdp::Direct {
            interface: "eth7".to_owned(),
            bpffs: "/sys/fs/bpf".into(),
        };
        for (largest_datagram, of_the_agent) in
            [(1452, true), (3770, true), (3771, false), (6500, false)]
        {
            for (af_xdp, possible) in [(&broker, of_the_agent), (&direct, true)] {
                let config = TransportConfig {
                    bind: ([127, 0, 0, 1], 4433).into(),
                    largest_datagram,
                    af_xdp: af_xdp.clone(),
                    ..TransportConfig::default()
                };
                let planned = plan(&config, config.bind, geometry(&config).unwrap());
                assert_eq!(planned.is_ok(), possible, "{largest_datagram} {af_xdp:?}");
            }
        }
    }
}
