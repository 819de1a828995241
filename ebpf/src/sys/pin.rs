//! Pinning objects in a BPF file system.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::KernelError;
use super::bpf::{Command, bpf, bpf_fd};

#[repr(C)]
struct ObjectAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

impl ObjectAttr {
    fn new(path: &CString, bpf_fd: u32) -> Self {
        Self {
            pathname: path.as_ptr() as u64,
            bpf_fd,
            file_flags: 0,
        }
    }
}

/// Gives an object a name in a BPF file system; it lives as long as the name does.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
    let path = c_path(path)?;
    let mut attr = ObjectAttr::new(&path, object.as_raw_fd().cast_unsigned());
    // SAFETY: `path` is a string that outlives the call.
    unsafe { bpf(Command::ObjPin, &mut attr) }?;
    Ok(())
}

/// Opens a pinned object; `ENOENT` if there is none.
pub fn open(path: &Path) -> Result<OwnedFd, KernelError> {
    let path = c_path(path)?;
    let mut attr = ObjectAttr::new(&path, 0);
    // SAFETY: `path` is a string that outlives the call.
    Ok(unsafe { bpf_fd(Command::ObjGet, &mut attr) }?)
}

/// Whether the directory is in a BPF file system; anything else takes no pins.
pub fn is_bpffs(path: &Path) -> Result<bool, Errno> {
    const BPF_FS_MAGIC: u32 = 0xcafe_4a11;
    Ok(rustix::fs::statfs(path)?.f_type as u32 == BPF_FS_MAGIC)
}

fn c_path(path: &Path) -> Result<CString, KernelError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL.into())
}
