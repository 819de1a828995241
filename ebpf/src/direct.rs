//! AF_XDP on an interface itself, with no agent: for a process with enough privilege of its own.
//!
//! `stoq_relay` goes onto the interface, or `stoq_direct` where packets come in several parts, and hands
//! what comes for some endpoints to a socket there, and all else to the kernel. Nothing is pinned: with the
//! process, or with its [`Direct`], it is gone.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use crate::af_xdp::{Geometry, Mode, Receiver, Rings, Socket, Umem};
use crate::attach::Pins;
use crate::kernel::interface::{self, Interface};
use crate::loader::{self, LoadError, Loaded, Options};
use crate::pinned::OpenError;
use crate::relay::Steering;
use crate::sys::KernelError;
use crate::sys::link::{self, LinkKind};
use crate::tables::{Desired, DesiredEndpoint, DesiredTransport, PolicySpec, Tables, TablesError};

/// What is to be received, where, and into how much memory.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of the interface that the packets come in by.
    pub interface: &'a str,
    /// Where they go to: addresses of that interface, and a UDP port of each.
    pub endpoints: &'a [SocketAddr],
    /// The memory.
    pub geometry: Geometry,
    /// The rings.
    pub rings: Rings,
    /// Where a BPF file system is mounted; what is put there is gone again when [`Direct::open`] returns.
    pub bpffs: &'a Path,
}

/// Why there is no socket on the interface.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// Somebody has a program there, which is left alone.
    #[error("{interface} has the XDP program {id} of another")]
    Conflict {
        /// The interface.
        interface: String,
        /// The kernel's id of the program.
        id: u32,
    },
    /// Packets that the interface takes are larger than a frame, and the kernel has none in several (before 6.6).
    #[error(
        "{interface} has an MTU of {mtu} bytes, frames of {frame} bytes hold less, and this kernel \
         has no packets in several: {source}"
    )]
    NotSupported {
        /// The interface.
        interface: String,
        /// Its MTU, bytes.
        mtu: u32,
        /// A frame's size, bytes.
        frame: u32,
        /// The kernel's words.
        source: KernelError,
    },
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Kernel {
        /// What was to be done.
        step: &'static str,
        /// The kernel's words.
        source: KernelError,
    },
    /// The programs could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A map could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A map could not be written.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// There is no room in the BPF file system.
    #[error("{path}: {source}")]
    Bpffs {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The program on the interface; gone when dropped.
#[derive(Debug)]
pub struct Direct {
    _link: OwnedFd,
}

impl Direct {
    /// Puts the program onto the interface, and gives what receives.
    ///
    /// # Errors
    /// What is missing or in the way; then nothing has changed.
    pub fn open(wanted: &Wanted<'_>) -> Result<(Self, Receiver), DirectError> {
        let interface = interface::by_name(wanted.interface);
        let interface = interface.map_err(kernel("find the interface"))?;
        if let Some(program) = interface.xdp.first() {
            return Err(DirectError::Conflict {
                interface: interface.name,
                id: program.id,
            });
        }
        let home = Home::create(wanted.bpffs)?;
        let pins = Pins::new(&home.0);
        let mut loaded = loader::load(
            &pins,
            &Options {
                flows: FLOWS,
                ..Options::default()
            },
        )?;
        let endpoints = steer(&mut Tables::open(&pins.maps())?, wanted.endpoints)?;
        let mut steering = Steering::open(&pins.maps())?;
        let (umem, socket, parts) = socket(&interface, wanted)?;
        for endpoint in endpoints {
            let put = steering.put(endpoint, &socket);
            put.map_err(kernel("put the socket behind the program"))?;
        }
        let receiver = Receiver::open(socket, umem, wanted.rings);
        let receiver = receiver.map_err(kernel("map the rings"))?;
        let link = attach(&interface, &mut loaded, parts)?;
        Ok((Self { _link: link }, receiver))
    }
}

/// Only what the endpoint's own observation needs.
const FLOWS: u32 = 1024;

/// The endpoints' ids in the tables.
fn steer(tables: &mut Tables, endpoints: &[SocketAddr]) -> Result<Vec<u32>, TablesError> {
    let desired = |endpoint: &SocketAddr| DesiredEndpoint {
        addr: endpoint.ip(),
        port: endpoint.port(),
        quic: true,
        uplink: false,
        pod_alone: false,
        steered: true,
        owner: 0,
    };
    let transport = DesiredTransport {
        name: "stoq/direct".to_owned(),
        policy: PolicySpec::default(),
        per_pod_counters: false,
        endpoints: endpoints.iter().map(desired).collect(),
        front_ends: Vec::new(),
    };
    let applied = tables.apply(&Desired {
        transports: vec![transport],
        nodes: Vec::new(),
    })?;
    let endpoints = applied.transports.iter().flat_map(|one| &one.endpoints);
    Ok(endpoints.map(|endpoint| endpoint.id).collect())
}

/// In how many parts a packet may come, as of the interface's MTU and of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    /// Each fits a frame, and the kernel knows nothing else.
    One,
    /// Each fits a frame.
    Any,
    /// Some fit no frame.
    Several,
}

fn socket(
    interface: &Interface,
    wanted: &Wanted<'_>,
) -> Result<(Umem, Socket, Parts), DirectError> {
    let umem = Umem::create(wanted.geometry).map_err(kernel("make the UMEM"))?;
    let socket = Socket::new().map_err(kernel("make the socket"))?;
    let registered = socket.register(&umem);
    registered.map_err(kernel("lock the UMEM in memory"))?;
    let rings = socket.make_rings(wanted.rings);
    rings.map_err(kernel("make the rings"))?;
    let parts = bind(&socket, interface, wanted.geometry)?;
    Ok((umem, socket, parts))
}

fn bind(socket: &Socket, interface: &Interface, geometry: Geometry) -> Result<Parts, DirectError> {
    const FIRST_QUEUE: u32 = 0;
    let fits = geometry.holds(interface.mtu);
    match socket.bind_for_parts(interface.index, FIRST_QUEUE, Mode::Copy) {
        Ok(()) if fits => Ok(Parts::Any),
        Ok(()) => Ok(Parts::Several),
        Err(error) if error.errno != Errno::INVAL => Err(error).map_err(kernel(BIND)),
        Err(_) if fits => {
            let bound = socket.bind(interface.index, FIRST_QUEUE, Mode::Copy);
            bound.map_err(kernel(BIND))?;
            Ok(Parts::One)
        }
        Err(source) => Err(DirectError::NotSupported {
            interface: interface.name.clone(),
            mtu: interface.mtu,
            frame: geometry.frame_size(),
            source,
        }),
    }
}

const BIND: &str = "bind to the interface";

/// In the driver if that is possible, in the stack if not. A driver may refuse packets in one part where
/// a frame still holds them.
fn attach(
    interface: &Interface,
    loaded: &mut Loaded,
    parts: Parts,
) -> Result<OwnedFd, DirectError> {
    use LinkKind::{XdpGeneric, XdpNative};
    const WHOLE: &str = "stoq_relay";
    const IN_PARTS: &str = "stoq_direct";
    let (first, rest): (_, &[_]) = match parts {
        Parts::One => ((XdpNative, WHOLE), &[(XdpGeneric, WHOLE)]),
        Parts::Any => (
            (XdpNative, WHOLE),
            &[(XdpNative, IN_PARTS), (XdpGeneric, WHOLE)],
        ),
        Parts::Several => ((XdpNative, IN_PARTS), &[(XdpGeneric, IN_PARTS)]),
    };
    let mut put = |(kind, program)| {
        let program = loaded.program(program)?;
        let link = link::create(kind, interface.index, program.as_fd());
        link.map_err(kernel("put the program onto the interface"))
    };
    put(first).or_else(|refused| rest.iter().find_map(|way| put(*way).ok()).ok_or(refused))
}

fn kernel(step: &'static str) -> impl FnOnce(KernelError) -> DirectError {
    move |source| DirectError::Kernel { step, source }
}

/// A directory for the maps while they are being opened.
struct Home(PathBuf);

impl Home {
    fn create(bpffs: &Path) -> Result<Self, DirectError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        // In containers every process has the same few numbers.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        let path = bpffs.join(format!(
            "stoq-direct-{}-{serial}-{now:x}",
            std::process::id()
        ));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(DirectError::Bpffs { path, source }),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What can't be removed is nothing but names of maps that go with the process.
        let _ = fs::remove_dir_all(&self.0);
    }
}
