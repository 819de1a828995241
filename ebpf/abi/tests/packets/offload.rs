//! A frame whose segmentation is still to come.

use stoq_ebpf_abi::Bytes;

/// A frame that stands for a train of datagrams.
pub(crate) struct Offloaded<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) segments: u32,
    pub(crate) segment_size: u32,
}

impl Bytes for Offloaded<'_> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn u8(&self, at: usize) -> Option<u8> {
        self.bytes.u8(at)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes.u16(at)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes.word(at)
    }

    fn segments(&self) -> u32 {
        self.segments
    }

    fn segment_size(&self) -> u32 {
        self.segment_size
    }
}
