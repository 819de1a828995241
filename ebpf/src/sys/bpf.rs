//! bpf(2) itself.

use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::io::Errno;

/// Commands of `enum bpf_cmd` used here.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgNextId = 11,
    ProgFdById = 13,
    ObjInfo = 15,
    ProgQuery = 16,
    MapLookupBatch = 24,
    LinkCreate = 28,
    LinkUpdate = 29,
    EnableStats = 32,
    LinkDetach = 34,
}

/// Calls bpf(2). A shorter `Attr` than the kernel's is legal: it reads the missing tail as zeroes.
///
/// # Safety
///
/// `Attr` is the kernel's layout of this command, without implicit padding, and every pointer and length in it
/// describes memory that stays valid, and writable where the command writes, for the whole call.
pub(super) unsafe fn bpf<Attr>(command: Command, attr: &mut Attr) -> Result<i64, Errno> {
    // SAFETY: the caller vouches for what `attr` points at; its own size is passed along.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as u32,
            std::ptr::from_mut(attr),
            size_of::<Attr>(),
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

/// [`bpf`] for commands that return a new file descriptor.
///
/// # Safety
///
/// As [`bpf`], and `command` is one that returns a descriptor.
pub(super) unsafe fn bpf_fd<Attr>(command: Command, attr: &mut Attr) -> Result<OwnedFd, Errno> {
    // SAFETY: passed on to the caller.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just opened this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
