//! Who has which frame of a UMEM.

use std::ops::Range;

use super::umem::Geometry;

/// The frames of a UMEM: each is ours and free, or lent to the kernel. One that comes back was
/// lent, or nothing happens: so none is ever lent twice, and none is lost.
#[derive(Debug)]
pub(super) struct Frames {
    geometry: Geometry,
    free: Vec<u32>,
    lent: Vec<bool>,
}

/// A frame that came back. It is not free before it is [given](Frames::give).
#[derive(Debug)]
pub(super) struct Frame(u32);

#[cfg(any(test, feature = "fuzz"))]
impl Frame {
    pub(super) fn number(&self) -> u32 {
        self.0
    }
}

impl Frames {
    /// All free.
    pub(super) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            free: (0..geometry.frames()).rev().collect(),
            lent: vec![false; geometry.frames() as usize],
        }
    }

    /// Lends a free frame; its address, bytes from the beginning of the UMEM.
    pub(super) fn lend(&mut self) -> Option<u64> {
        let frame = self.free.pop()?;
        let lent = self.lent.get_mut(frame as usize)?;
        *lent = true;
        Some(u64::from(frame) * u64::from(self.geometry.frame_size()))
    }

    /// The frame that a descriptor names; `None` if it was not lent.
    pub(super) fn take(&mut self, address: u64) -> Option<Frame> {
        let frame = u32::try_from(address / u64::from(self.geometry.frame_size())).ok()?;
        let lent = self.lent.get_mut(frame as usize).filter(|lent| **lent)?;
        *lent = false;
        Some(Frame(frame))
    }

    /// Where in the UMEM a descriptor's bytes are; `None` if not all of them are within one frame.
    pub(super) fn bytes(&self, address: u64, length: u32) -> Option<Range<usize>> {
        let size = u64::from(self.geometry.frame_size());
        let start = usize::try_from(address).ok()?;
        let end = start.checked_add(length as usize)?;
        let within = address % size + u64::from(length) <= size;
        (within && end <= self.geometry.bytes()).then_some(start..end)
    }

    /// The frame is free again.
    pub(super) fn give(&mut self, frame: Frame) {
        self.free.push(frame.0);
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }

    /// Whether it is lent, of each frame.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn lent(&self) -> &[bool] {
        &self.lent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Frames {
        Frames::new(Geometry::new(64, 2048).unwrap())
    }

    #[test]
    fn a_frame_comes_back_once() {
        let mut frames = frames();
        let address = frames.lend().unwrap();
        for strange in [address + 2048, 64 * 2048, 1 << 40, u64::MAX] {
            assert!(frames.take(strange).is_none(), "{strange}");
        }
        let frame = frames.take(address + 256).unwrap();
        assert!(frames.take(address + 256).is_none(), "twice");
        frames.give(frame);
        assert_eq!(frames.free().len(), 64);
    }

    #[test]
    fn bytes_lie_within_one_frame() {
        let frames = frames();
        assert_eq!(frames.bytes(2048 + 256, 1792), Some(2304..4096));
        for (address, length) in [
            (2048, 2049),
            (2049, 2048),
            (2048, u32::MAX),
            (64 * 2048, 1),
            (u64::MAX, 1),
            (u64::MAX - 2047, 2048),
        ] {
            assert_eq!(frames.bytes(address, length), None, "{address} {length}");
        }
    }

    #[test]
    fn all_frames_can_be_lent_and_no_more() {
        let mut frames = frames();
        let lent: std::collections::BTreeSet<_> = (0..64).map_while(|_| frames.lend()).collect();
        assert_eq!(lent.len(), 64);
        assert_eq!(frames.lend(), None);
    }
}
