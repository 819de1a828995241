//! An AF_XDP socket, as far as a probe goes: memory registered, bound in copy mode, closed.

use rustix::io::Errno;

use super::{Gate, Reason};
use crate::af_xdp::{Mapping, Mode, Rings, Socket};
use crate::kernel::confinement::{Capability, Confinement};
use crate::kernel::interface::Interface;
use crate::sys::{KernelError, errno_name};

const FRAME: u32 = 4096;

/// Binds a socket with a small memory to queue 0.
pub(super) fn bind(interface: &Interface) -> Result<(), KernelError> {
    with_memory(|socket| socket.bind(interface.index, 0, Mode::Copy))
}

/// The same for packets in several frames.
pub(super) fn bind_for_parts(interface: &Interface) -> Result<(), KernelError> {
    with_memory(|socket| socket.bind_for_parts(interface.index, 0, Mode::Copy))
}

fn with_memory(bind: impl FnOnce(&Socket) -> Result<(), KernelError>) -> Result<(), KernelError> {
    const FRAMES: u32 = 16;
    let socket = Socket::new()?;
    let memory = Mapping::anonymous((FRAME * FRAMES) as usize)?;
    socket.register_memory(&memory, FRAME)?;
    socket.make_rings(Rings {
        fill: FRAMES,
        receive: FRAMES,
    })?;
    bind(&socket)
}

/// Locks what one session takes: 4096 frames. `RLIMIT_MEMLOCK` bounds it unless `CAP_IPC_LOCK` lifts that.
pub(super) fn locked_memory() -> Gate {
    const NAME: &str = "locked-memory";
    const SESSION: usize = FRAME as usize * 4096;
    let socket = match Socket::new() {
        Ok(socket) => socket,
        Err(error) => {
            let message = format!("no AF_XDP socket to lock it for: {error}");
            return Gate::unknown(NAME, super::gate::reason(error.errno), message);
        }
    };
    let locked = Mapping::anonymous(SESSION);
    let locked = locked.and_then(|memory| socket.register_memory(&memory, FRAME));
    match locked {
        // How the kernel spells "over the limit" here.
        Err(errno @ Errno::NOBUFS) => over_the_limit(NAME, errno),
        outcome => Gate::tried(NAME, &[Capability::IpcLock], outcome.map_err(Into::into)),
    }
}

fn over_the_limit(name: &'static str, errno: Errno) -> Gate {
    let missing = Confinement::read().closed_by(&[Capability::IpcLock]);
    let message = format!(
        "{}: 16 MiB are over RLIMIT_MEMLOCK of {} ({missing})",
        errno_name(errno),
        limit()
    );
    Gate::unavailable(name, Reason::PermissionDenied, message)
}

fn limit() -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
    limit
        .current
        .map_or("no limit".to_owned(), |bytes| format!("{bytes} bytes"))
}
