//! An AF_XDP socket, as far as a probe goes: memory registered, bound in copy mode, closed.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use super::{Gate, Reason};
use crate::kernel::confinement::{Capability, Confinement};
use crate::kernel::interface::Interface;
use crate::sys::{KernelError, errno_name};

const FRAME: u32 = 4096;

/// Binds a socket with a small memory to queue 0.
pub(super) fn bind(interface: &Interface) -> Result<(), KernelError> {
    const FRAMES: u32 = 16;
    let socket = socket()?;
    let memory = Memory::map((FRAME * FRAMES) as usize)?;
    register(&socket, &memory)?;
    for ring in [
        libc::XDP_UMEM_FILL_RING,
        libc::XDP_UMEM_COMPLETION_RING,
        libc::XDP_RX_RING,
    ] {
        set(&socket, ring, &FRAMES)?;
    }
    bind_copy(&socket, interface.index)?;
    Ok(())
}

/// Locks what one session takes: 4096 frames. `RLIMIT_MEMLOCK` bounds it unless `CAP_IPC_LOCK` lifts that.
pub(super) fn locked_memory() -> Gate {
    const NAME: &str = "locked-memory";
    const SESSION: usize = FRAME as usize * 4096;
    let socket = match socket() {
        Ok(socket) => socket,
        Err(errno) => {
            let message = format!(
                "no AF_XDP socket to lock it for: {}",
                KernelError::from(errno)
            );
            return Gate::unknown(NAME, super::gate::reason(errno), message);
        }
    };
    let locked = Memory::map(SESSION).and_then(|memory| register(&socket, &memory));
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

pub(super) fn socket() -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers; the descriptor is new and ours alone.
    unsafe {
        let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn register(socket: &OwnedFd, memory: &Memory) -> Result<(), Errno> {
    // struct xdp_umem_reg as every kernel knows it: address, length, chunk size, headroom.
    #[repr(C)]
    struct Region {
        address: u64,
        length: u64,
        chunk_size: u32,
        headroom: u32,
    }
    let region = Region {
        address: memory.address as u64,
        length: memory.length as u64,
        chunk_size: FRAME,
        headroom: 0,
    };
    set(socket, libc::XDP_UMEM_REG, &region)
}

fn set<T>(socket: &OwnedFd, option: i32, value: &T) -> Result<(), Errno> {
    // SAFETY: `value` is alive and its own size is passed; the kernel pins a registered memory itself.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

fn bind_copy(socket: &OwnedFd, ifindex: u32) -> Result<(), Errno> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as libc::sa_family_t,
        sxdp_flags: libc::XDP_COPY,
        sxdp_ifindex: ifindex,
        sxdp_queue_id: 0,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: `address` is alive and of the size given.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_xdp>() as libc::socklen_t,
        )
    })
}

fn check(result: i32) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// Anonymous memory, page-aligned.
struct Memory {
    address: *mut libc::c_void,
    length: usize,
}

impl Memory {
    fn map(length: usize) -> Result<Self, Errno> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(Errno::NOMEM);
        }
        Ok(Self { address, length })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers into it.
        unsafe { libc::munmap(self.address, self.length) };
    }
}
