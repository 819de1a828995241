//! Makes what a pod is given. Blocks for as long as a queue is busy.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use stoq_ebpf::af_xdp::{Mode, Socket, Umem};
use stoq_ebpf::broker::{Reason, Refused};
use stoq_ebpf::relay::{Relay, Steering};
use stoq_ebpf::sys::KernelError;

use super::sessions::{Ticket, refused};

/// A UMEM and a socket over it, bound to the relay's far end and put behind it. Bound before it is
/// handed over: who has an unbound one could bind it to any interface of the node.
pub(super) fn make(maps: &Path, relay: &Relay, ticket: &Ticket) -> Result<(Umem, Socket), Refused> {
    let umem = Umem::create(ticket.geometry).map_err(|error| no("make the UMEM", &error))?;
    let socket = Socket::new().map_err(|error| no("make the socket", &error))?;
    let registered = socket.register(&umem);
    registered.map_err(|error| no("lock the UMEM in memory", &error))?;
    let rings = socket.make_rings(ticket.rings);
    rings.map_err(|error| no("make the rings", &error))?;
    let bound = socket.bind(relay.far.index, 0, Mode::Copy);
    bound.map_err(|error| no("bind to the relay", &error))?;
    connect(maps, relay, &socket)?;
    Ok((umem, socket))
}

/// Puts a socket that an earlier agent has bound behind the relay again.
pub(super) fn reconnect(maps: &Path, relay: &Relay, socket: OwnedFd) -> Result<(), Refused> {
    connect(maps, relay, &Socket::from(socket))
}

fn connect(maps: &Path, relay: &Relay, socket: &Socket) -> Result<(), Refused> {
    let steering = Steering::open(maps);
    let mut steering =
        steering.map_err(|error| refused(Reason::NotSupported, error.to_string()))?;
    let connected = steering.connect(relay, socket);
    connected.map_err(|error| no("put the socket behind the relay", &error))
}

fn no(what: &str, error: &KernelError) -> Refused {
    let reason = match error.errno {
        Errno::NOBUFS | Errno::NOMEM | Errno::MFILE | Errno::NFILE => Reason::NoMemory,
        Errno::BUSY => Reason::Busy,
        _ => Reason::NotSupported,
    };
    refused(reason, format!("{what}: {error}"))
}
