//! Memory of another's making in our address space.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::io::Errno;

/// A mapping, page-aligned, readable and writable; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: the address is ours alone to unmap; what others may write to is read as atomics or copied.
unsafe impl Send for Mapping {}
// SAFETY: likewise.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `length` bytes of a file or socket, from `offset` on, shared with all who map them.
    pub(crate) fn shared(fd: BorrowedFd<'_>, offset: u64, length: usize) -> Result<Self, Errno> {
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::OVERFLOW)?;
        Self::map(
            libc::MAP_SHARED | libc::MAP_POPULATE,
            fd.as_raw_fd(),
            offset,
            length,
        )
    }

    /// `length` zero bytes of our own.
    pub(crate) fn anonymous(length: usize) -> Result<Self, Errno> {
        Self::map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0, length)
    }

    fn map(flags: i32, fd: i32, offset: libc::off_t, length: usize) -> Result<Self, Errno> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, fd, offset) };
        if address == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let address = NonNull::new(address.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { address, length })
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.address.as_ptr() as u64
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The 32-bit word at a byte offset; `None` if it is not aligned or not all within.
    pub(super) fn word(&self, at: usize) -> Option<&AtomicU32> {
        let pointer = self.at::<AtomicU32>(at)?;
        // SAFETY: within the mapping, aligned, any bits are valid, and others write whole words.
        Some(unsafe { &*pointer })
    }

    /// The 64-bit word at a byte offset, likewise.
    pub(super) fn long(&self, at: usize) -> Option<&AtomicU64> {
        let pointer = self.at::<AtomicU64>(at)?;
        // SAFETY: likewise.
        Some(unsafe { &*pointer })
    }

    /// Copies from a byte offset on until `to` is full; `false`, and nothing, if it is not all within.
    pub(super) fn copy_to(&self, at: usize, to: &mut [u8]) -> bool {
        if self
            .length
            .checked_sub(at)
            .is_none_or(|left| left < to.len())
        {
            return false;
        }
        // SAFETY: within the mapping, and `to` is memory of our own, so they do not overlap. If
        // another process writes meanwhile, the copy holds a mixture of bytes, all of them valid.
        unsafe {
            let from = self.address.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
        }
        true
    }

    fn at<T>(&self, at: usize) -> Option<*const T> {
        let fits = self.length.checked_sub(at)? >= size_of::<T>();
        (fits && at.is_multiple_of(align_of::<T>()))
            // SAFETY: within the mapping.
            .then(|| unsafe { self.address.as_ptr().add(at) }.cast_const().cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and what refers into it borrows `self`.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

/// What the last call of libc said.
pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn nothing_outside_is_reached() {
        let memory = Mapping::anonymous(4096).unwrap();
        for at in [1, 2, 4093, 4096, usize::MAX, usize::MAX - 3] {
            assert!(memory.word(at).is_none(), "{at}");
            assert!(memory.long(at).is_none(), "{at}");
        }
        assert!(memory.word(4092).is_some());
        assert!(memory.long(4092).is_none(), "not aligned");
        let mut bytes = [1; 16];
        for at in [4081, 4096, usize::MAX] {
            assert!(!memory.copy_to(at, &mut bytes), "{at}");
            assert_eq!(bytes, [1; 16]);
        }
        memory.word(4080).unwrap().store(7, Ordering::Relaxed);
        assert!(memory.copy_to(4080, &mut bytes));
        assert_eq!(bytes[..4], 7u32.to_ne_bytes());
    }
}
