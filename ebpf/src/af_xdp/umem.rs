//! The memory that frames come into.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::Mapping;
use crate::sys::KernelError;

/// How a UMEM is cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    frames: u32,
    frame_size: u32,
}

/// Why there can be no such UMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Rings hold a power of two of frames.
    #[error("{0} frames: a power of two from 64 to 65536 is possible")]
    Frames(u32),
    /// The kernel takes a power of two, of a page at most.
    #[error("frames of {0} bytes: 2048 and 4096 are possible")]
    FrameSize(u32),
}

impl Geometry {
    /// `frames` of `frame_size` bytes each.
    ///
    /// # Errors
    /// What the kernel or the rings could not take.
    pub const fn new(frames: u32, frame_size: u32) -> Result<Self, GeometryError> {
        if !frames.is_power_of_two() || frames < 64 || frames > 65_536 {
            return Err(GeometryError::Frames(frames));
        }
        if frame_size != 2048 && frame_size != 4096 {
            return Err(GeometryError::FrameSize(frame_size));
        }
        Ok(Self { frames, frame_size })
    }

    /// Number of frames.
    pub const fn frames(self) -> u32 {
        self.frames
    }

    /// Bytes of one.
    pub const fn frame_size(self) -> u32 {
        self.frame_size
    }

    /// Whether a frame holds any packet of an interface of this MTU, in bytes. Of each the kernel keeps some free.
    pub const fn holds(self, mtu: u32) -> bool {
        const HEADROOM: u32 = 256;
        const ETHERNET: u32 = 14;
        match mtu.checked_add(HEADROOM + ETHERNET) {
            Some(needed) => needed <= self.frame_size,
            None => false,
        }
    }

    /// Bytes of all.
    pub const fn bytes(self) -> usize {
        self.frames as usize * self.frame_size as usize
    }
}

/// A UMEM: a memfd that nobody can shrink or grow, mapped.
#[derive(Debug)]
pub struct Umem {
    memfd: OwnedFd,
    memory: Mapping,
    geometry: Geometry,
}

/// What nobody may do to it any more; the kernel would fault in memory that went away.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

impl Umem {
    /// Makes one, and seals it.
    ///
    /// # Errors
    /// The kernel has no memory for it.
    pub fn create(geometry: Geometry) -> Result<Self, KernelError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memfd = rustix::fs::memfd_create("stoq-umem", flags)?;
        rustix::fs::ftruncate(&memfd, geometry.bytes() as u64)?;
        rustix::fs::fcntl_add_seals(&memfd, SEALS)?;
        Self::open(memfd, geometry)
    }

    /// Maps one that another has made.
    ///
    /// # Errors
    /// `EINVAL` if it has another size or is not sealed.
    pub fn open(memfd: OwnedFd, geometry: Geometry) -> Result<Self, KernelError> {
        let size = rustix::fs::fstat(&memfd)?.st_size;
        let sealed = rustix::fs::fcntl_get_seals(&memfd)?.contains(SEALS);
        if u64::try_from(size) != Ok(geometry.bytes() as u64) || !sealed {
            return Err(Errno::INVAL.into());
        }
        let memory = Mapping::shared(memfd.as_fd(), 0, geometry.bytes())?;
        Ok(Self {
            memfd,
            memory,
            geometry,
        })
    }

    /// To hand over.
    pub fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }

    /// How it is cut.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(super) fn memory(&self) -> &Mapping {
        &self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometry_is_what_kernel_and_rings_take() {
        let cases = [
            (64, 2048, Ok(())),
            (65_536, 4096, Ok(())),
            (0, 4096, Err(GeometryError::Frames(0))),
            (63, 4096, Err(GeometryError::Frames(63))),
            (96, 4096, Err(GeometryError::Frames(96))),
            (131_072, 4096, Err(GeometryError::Frames(131_072))),
            (64, 1024, Err(GeometryError::FrameSize(1024))),
            (64, 8192, Err(GeometryError::FrameSize(8192))),
        ];
        for (frames, size, expected) in cases {
            assert_eq!(
                Geometry::new(frames, size).map(drop),
                expected,
                "{frames} {size}"
            );
        }
    }

    #[test]
    fn nobody_changes_the_size_of_a_umem() {
        let umem = Umem::create(Geometry::new(64, 2048).unwrap()).unwrap();
        for size in [0, 4096, 1 << 20] {
            let refused = rustix::fs::ftruncate(umem.memfd(), size);
            assert_eq!(refused, Err(Errno::PERM), "{size}");
        }
    }

    #[test]
    fn memory_of_another_size_or_without_seals_is_refused() {
        let geometry = Geometry::new(64, 2048).unwrap();
        let umem = Umem::create(Geometry::new(128, 2048).unwrap()).unwrap();
        let other = umem.memfd().try_clone_to_owned().unwrap();
        let open = rustix::fs::memfd_create("open", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, geometry.bytes() as u64).unwrap();
        for memfd in [other, open] {
            let refused = Umem::open(memfd, geometry).unwrap_err();
            assert_eq!(refused.errno, Errno::INVAL);
        }
    }
}
