//! Takes packets out of the rings, and puts free frames in. Needs no socket, so that a test or a
//! fuzzer can play the kernel.

use std::borrow::Borrow;
use std::ops::Range;

use super::frames::{Frame, Frames};
use super::mapping::Mapping;
use super::ring::{Descriptor, Fill, Receive};
use super::umem::Geometry;

#[cfg(feature = "fuzz")]
pub(super) use played::hostile;

/// What came in so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Descriptors that made no sense, and times when a ring's index did not.
    pub strange: u64,
}

/// A received packet, in one frame or several.
#[derive(Debug)]
pub struct Packet<'a> {
    memory: &'a Mapping,
    parts: &'a [Range<usize>],
}

impl Packet<'_> {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.parts.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies its bytes from `from` on until `to` is full. Returns `false` if there are not that many.
    pub fn copy_to(&self, from: usize, mut to: &mut [u8]) -> bool {
        let mut skip = from;
        for part in self.parts {
            let skipped = skip.min(part.len());
            skip -= skipped;
            let take = (part.len() - skipped).min(to.len());
            let (now, later) = to.split_at_mut(take);
            if !self.memory.copy_to(part.start + skipped, now) {
                return false;
            }
            to = later;
        }
        skip == 0 && to.is_empty()
    }
}

/// Frames that a packet may be in: the kernel's are of 64 KiB at most, and leave 256 bytes of a frame
/// free. Without a limit a packet without end would take all frames, and none could come to end it.
const MOST_PARTS: usize = (64 * 1024_usize).div_ceil(2048 - 256);

/// The rings of a receiver and the frames that go round in them.
#[derive(Debug)]
pub(super) struct Intake<M = Mapping> {
    frames: Frames,
    fill: Fill<M>,
    receive: Receive<M>,
    /// Of the packet that is being put together.
    parts: Vec<Range<usize>>,
    taken: Vec<Frame>,
    /// It has a part that made no sense, or too many.
    spoilt: bool,
    counts: Counts,
}

impl<M: Borrow<Mapping>> Intake<M> {
    /// Offers the kernel every frame there is room for.
    pub(super) fn new(geometry: Geometry, fill: Fill<M>, receive: Receive<M>) -> Self {
        let mut intake = Self {
            frames: Frames::new(geometry),
            fill,
            receive,
            parts: Vec::new(),
            taken: Vec::new(),
            spoilt: false,
            counts: Counts::default(),
        };
        intake.refill();
        intake
    }

    /// Shows up to `most` packets that wait in a UMEM's `memory` to `each`; how many there were.
    pub(super) fn receive(
        &mut self,
        memory: &Mapping,
        most: usize,
        mut each: impl FnMut(Packet<'_>),
    ) -> usize {
        let waiting = self.receive.waiting().unwrap_or_else(|| {
            // What was put together went on in what is lost.
            self.reset();
            0
        });
        let mut packets = 0;
        for _ in 0..waiting {
            if packets == most {
                break;
            }
            let Some(part) = self.receive.pop() else {
                break;
            };
            self.add(part);
            if part.options & libc::XDP_PKT_CONTD != 0 {
                continue;
            }
            if !self.spoilt {
                let packet = Packet {
                    memory,
                    parts: &self.parts,
                };
                self.counts.packets += 1;
                self.counts.bytes += packet.len() as u64;
                packets += 1;
                each(packet);
            }
            self.reset();
        }
        self.receive.release();
        self.refill();
        packets
    }

    fn add(&mut self, part: Descriptor) {
        let bytes = self.frames.bytes(part.address, part.length);
        let frame = self.frames.take(part.address);
        match (bytes, &frame) {
            (Some(bytes), Some(_)) if self.parts.len() < MOST_PARTS => self.parts.push(bytes),
            _ => {
                self.counts.strange += 1;
                self.spoilt = true;
            }
        }
        self.taken.extend(frame);
        if self.spoilt {
            // Nobody will see it, and its end may never come.
            self.give_back();
        }
    }

    fn reset(&mut self) {
        self.give_back();
        self.spoilt = false;
    }

    fn give_back(&mut self) {
        self.taken
            .drain(..)
            .for_each(|frame| self.frames.give(frame));
        self.parts.clear();
    }

    fn refill(&mut self) {
        let mut room = self.fill.room();
        while room > 0
            && let Some(address) = self.frames.lend()
        {
            self.fill.push(address);
            room -= 1;
        }
        self.fill.publish();
    }

    /// Whether the kernel sleeps until it is told that there are frames.
    pub(super) fn wants_wakeup(&self) -> bool {
        self.fill.wants_wakeup()
    }

    /// Whether the kernel has a free frame to receive into.
    pub(super) fn is_primed(&self) -> bool {
        self.fill.has_frames()
    }

    /// What came in so far.
    pub(super) fn counts(&self) -> Counts {
        let rings = self.fill.strange() + self.receive.strange();
        Counts {
            strange: self.counts.strange + rings,
            ..self.counts
        }
    }
}

#[cfg(any(test, feature = "fuzz"))]
mod played;
#[cfg(test)]
mod tests;
