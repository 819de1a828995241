//! An AF_XDP socket and what the kernel can be asked and told of it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::mapping::{Mapping, last_errno};
use super::ring::{self, Fill, Layout, Receive};
use super::umem::Umem;
use crate::sys::KernelError;

/// Entries of the rings, powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// Free frames offered.
    pub fill: u32,
    /// Frames received.
    pub receive: u32,
}

/// How frames get into the UMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Copied by the kernel: any device.
    Copy,
    /// Written there by the device.
    ZeroCopy,
}

impl Mode {
    fn flags(self) -> u16 {
        match self {
            Self::Copy => libc::XDP_COPY,
            Self::ZeroCopy => libc::XDP_ZEROCOPY | libc::XDP_USE_NEED_WAKEUP,
        }
    }
}

/// Packets that were lost on the last steps to the socket (`struct xdp_statistics`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// For other reasons than those below.
    pub dropped: u64,
    /// Descriptors in the fill ring that name no frame.
    pub invalid: u64,
    /// The receive ring was full.
    pub ring_full: u64,
    /// The fill ring had no free frame.
    pub fill_empty: u64,
}

/// An AF_XDP socket.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// A new one, not bound.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`, `EAFNOSUPPORT` where the kernel has none.
    pub fn new() -> Result<Self, KernelError> {
        // SAFETY: no pointers; the descriptor is new and ours alone.
        unsafe {
            let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            check(fd)?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Makes the UMEM's memory the socket's. The kernel pins it, so it counts as locked.
    ///
    /// # Errors
    /// `ENOBUFS` over `RLIMIT_MEMLOCK` without `CAP_IPC_LOCK`.
    pub fn register(&self, umem: &Umem) -> Result<(), KernelError> {
        Ok(self.register_memory(umem.memory(), umem.geometry().frame_size())?)
    }

    pub(crate) fn register_memory(&self, memory: &Mapping, chunk_size: u32) -> Result<(), Errno> {
        // struct xdp_umem_reg as every kernel knows it.
        #[repr(C)]
        struct Region {
            address: u64,
            length: u64,
            chunk_size: u32,
            headroom: u32,
        }
        let region = Region {
            address: memory.address(),
            length: memory.len() as u64,
            chunk_size,
            headroom: 0,
        };
        self.set(libc::XDP_UMEM_REG, &region)
    }

    /// Makes the rings. There is none to send by: who receives can't. The kernel wants a completion
    /// ring all the same.
    ///
    /// # Errors
    /// Sizes that are no powers of two, or no memory.
    pub fn make_rings(&self, rings: Rings) -> Result<(), KernelError> {
        const NEVER_USED: u32 = 1;
        self.set(libc::XDP_UMEM_FILL_RING, &rings.fill)?;
        self.set(libc::XDP_UMEM_COMPLETION_RING, &NEVER_USED)?;
        Ok(self.set(libc::XDP_RX_RING, &rings.receive)?)
    }

    /// Binds it to a queue of an interface, for good. A queue that was only just released stays busy
    /// for a moment, which is waited for.
    ///
    /// # Errors
    /// `EBUSY` if another socket has the queue, `EOPNOTSUPP` if the driver has no zero-copy.
    pub fn bind(&self, ifindex: u32, queue: u32, mode: Mode) -> Result<(), KernelError> {
        self.bind_with(ifindex, queue, mode.flags())
    }

    /// The same, and packets larger than a frame come in several (Linux 6.6). Whoever binds like this
    /// has to put them together, as [`Receiver`](super::Receiver) does.
    ///
    /// # Errors
    /// As of [`bind`](Self::bind), and `EINVAL` on older kernels; then it may still be bound without.
    pub fn bind_for_parts(&self, ifindex: u32, queue: u32, mode: Mode) -> Result<(), KernelError> {
        self.bind_with(ifindex, queue, mode.flags() | libc::XDP_USE_SG)
    }

    fn bind_with(&self, ifindex: u32, queue: u32, flags: u16) -> Result<(), KernelError> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            match self.bind_once(ifindex, queue, flags) {
                Err(Errno::BUSY) if Instant::now() < until => std::thread::sleep(pause),
                outcome => return Ok(outcome?),
            }
            pause *= 2;
        }
    }

    fn bind_once(&self, ifindex: u32, queue: u32, flags: u16) -> Result<(), Errno> {
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as libc::sa_family_t,
            sxdp_flags: flags,
            sxdp_ifindex: ifindex,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        // SAFETY: `address` is alive and of the size given.
        check(unsafe {
            libc::bind(
                self.0.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_xdp>() as libc::socklen_t,
            )
        })
    }

    /// What was lost so far.
    pub fn statistics(&self) -> Result<Statistics, KernelError> {
        // Older kernels know the first three numbers only, and say so by the length.
        let (numbers, _) = self.get::<[u64; 6]>(libc::XDP_STATISTICS)?;
        let [dropped, invalid, _, ring_full, fill_empty, _] = numbers;
        Ok(Statistics {
            dropped,
            invalid,
            ring_full,
            fill_empty,
        })
    }

    /// How it was bound.
    pub fn mode(&self) -> Result<Mode, KernelError> {
        let (options, _) = self.get::<u32>(libc::XDP_OPTIONS)?;
        Ok(if options & libc::XDP_OPTIONS_ZEROCOPY != 0 {
            Mode::ZeroCopy
        } else {
            Mode::Copy
        })
    }

    /// Maps our ends of the rings, which are of these sizes.
    pub(super) fn map_rings(&self, rings: Rings) -> Result<(Fill, Receive), KernelError> {
        // struct xdp_mmap_offsets: receive, send, fill, completion, each {producer, consumer, entries, flags}.
        let (offsets, length) = self.get::<[u64; 16]>(libc::XDP_MMAP_OFFSETS)?;
        if length != size_of_val(&offsets) {
            // Before 5.4 there were no flags.
            return Err(Errno::OPNOTSUPP.into());
        }
        let [receive, _, fill, _] = [0, 4, 8, 12].map(|first| layout(&offsets[first..first + 4]));
        let map = |offset, layout, size, words| {
            Mapping::shared(self.as_fd(), offset, ring::bytes(layout, size, words))
        };
        let offset = libc::XDP_UMEM_PGOFF_FILL_RING;
        let memory = map(offset, fill, rings.fill, ring::FILL_WORDS)?;
        let fill = Fill::new(memory, fill, rings.fill)?;
        let offset = libc::XDP_PGOFF_RX_RING as u64;
        let memory = map(offset, receive, rings.receive, ring::RECEIVE_WORDS)?;
        Ok((fill, Receive::new(memory, receive, rings.receive)?))
    }

    /// Tells the kernel that there are free frames again.
    pub(super) fn wake(&self) {
        // SAFETY: no buffer is handed over. What it says does not matter: the next wake-up asks again.
        unsafe {
            let nothing = std::ptr::null_mut();
            libc::recvfrom(
                self.0.as_raw_fd(),
                nothing,
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
    }

    pub(crate) fn set<T>(&self, option: i32, value: &T) -> Result<(), Errno> {
        // SAFETY: `value` is alive and its own size is passed.
        check(unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_XDP,
                option,
                std::ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        })
    }

    /// An option made of integers, and how many bytes of it the kernel filled in.
    fn get<T: Integers>(&self, option: i32) -> Result<(T, usize), Errno> {
        let mut value = MaybeUninit::<T>::zeroed();
        let mut length = size_of::<T>() as libc::socklen_t;
        // SAFETY: there is room for `length` bytes, alive for the call.
        check(unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_XDP,
                option,
                value.as_mut_ptr().cast(),
                &raw mut length,
            )
        })?;
        // SAFETY: integers, zeroed above: any bytes are valid.
        Ok((unsafe { value.assume_init() }, length as usize))
    }
}

/// One that was bound by another.
impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Types of integers only.
trait Integers: Copy {}
impl Integers for u32 {}
impl<const N: usize> Integers for [u64; N] {}

/// `struct xdp_ring_offset`
fn layout(offsets: &[u64]) -> Layout {
    let at = |index: usize| {
        offsets
            .get(index)
            .map_or(usize::MAX, |offset| *offset as usize)
    };
    Layout {
        producer: at(0),
        consumer: at(1),
        entries: at(2),
        flags: at(3),
    }
}

fn check(result: i32) -> Result<(), Errno> {
    if result >= 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}
