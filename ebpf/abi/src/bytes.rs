//! How the parser reads a frame.

/// A frame, read at byte offsets. Every read is checked; `None` is "not there".
///
/// Multi-byte reads are big-endian, as every header here is; [`Bytes::word`]
/// keeps the wire's order.
pub trait Bytes {
    /// Length of the frame in bytes, segments of an offloaded packet included.
    fn len(&self) -> usize;

    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The byte at `at`.
    fn u8(&self, at: usize) -> Option<u8>;

    /// Two bytes at `at`, big-endian.
    fn u16(&self, at: usize) -> Option<u16>;

    /// Four bytes at `at`, in the order of the wire.
    fn word(&self, at: usize) -> Option<u32>;

    /// Four bytes at `at`, big-endian.
    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        self.word(at).map(u32::from_be)
    }

    /// [`crate::quic::long_header`]; a function of its own in the kernel.
    #[inline(always)]
    fn long_header(&self, at: usize, end: usize) -> u64 {
        crate::quic::long_header(self, at, end).to_bits()
    }

    /// [`crate::quic::step`]; likewise.
    #[inline(always)]
    fn quic_step(&self, at: usize, end: usize) -> u64 {
        crate::quic::step(self, at, end)
    }

    /// Datagrams this frame stands for: more than one where segmentation is
    /// still to come (GSO) or has been undone (GRO). 0: not known, as of what a
    /// virtual machine sends; see [`Bytes::datagrams`].
    #[inline(always)]
    fn segments(&self) -> u32 {
        1
    }

    /// Datagrams that `len` bytes of payload are.
    #[inline(always)]
    fn datagrams(&self, len: usize) -> u32 {
        let (segments, size) = (self.segments(), self.segment_size());
        if segments != 0 {
            segments
        } else if size == 0 || len == 0 {
            1
        } else {
            (len as u32).div_ceil(size)
        }
    }

    /// Payload bytes of each datagram but the last of an offloaded frame; zero
    /// for a plain frame.
    #[inline(always)]
    fn segment_size(&self) -> u32 {
        0
    }
}

impl Bytes for [u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn u8(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let end = at.checked_add(2)?;
        self.get(at..end)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn word(&self, at: usize) -> Option<u32> {
        let end = at.checked_add(4)?;
        self.get(at..end)?.try_into().ok().map(u32::from_ne_bytes)
    }
}
