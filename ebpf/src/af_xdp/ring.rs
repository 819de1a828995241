//! The two ends of a ring that we have: we produce free frames, and consume received ones.
//!
//! The other end is the kernel, but the memory is shared with whoever else has the socket, so
//! nothing in it is believed: our own index is kept here, the other's is checked against the size,
//! and every place in the ring is masked.
//!
//! An index of the other end's that makes no sense is let be at first: if another scribbled over it,
//! the kernel's next write puts it right, and nothing is lost. If it moves and still makes no sense,
//! the kernel itself was led astray, and we go on from where it is.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;

use super::Mapping;

/// Where in its mapping the parts of a ring are, bytes (`struct xdp_ring_offset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) producer: usize,
    pub(super) consumer: usize,
    pub(super) flags: usize,
    pub(super) entries: usize,
}

/// What the receive ring says of a frame, or of a part of one (`struct xdp_desc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Bytes from the beginning of the UMEM.
    pub(super) address: u64,
    /// Bytes.
    pub(super) length: u32,
    /// `XDP_PKT_CONTD`: the packet goes on in the next descriptor.
    pub(super) options: u32,
}

/// In memory of its own, or borrowed from a test.
#[derive(Debug)]
struct Ring<M> {
    memory: M,
    layout: Layout,
    size: u32,
    /// 64-bit words in an entry.
    words: usize,
    /// Our own index.
    next: u32,
    /// The other end's, while it makes no sense.
    astray: Option<u32>,
    /// Times when it made none.
    strange: u64,
}

/// What the other end's index tells.
enum Told {
    /// So many entries are ahead of the end that consumes.
    Ahead(u32),
    /// It makes no sense.
    Nothing,
    /// It made none again: our own is now the same.
    Followed,
}

impl<M: Borrow<Mapping>> Ring<M> {
    fn new(memory: M, layout: Layout, size: u32, words: usize) -> Result<Self, Errno> {
        let ring = Self {
            memory,
            layout,
            size,
            words,
            next: 0,
            astray: None,
            strange: 0,
        };
        let Layout {
            producer,
            consumer,
            flags,
            ..
        } = layout;
        let counters = [producer, consumer, flags];
        let last = size.checked_sub(1).ok_or(Errno::INVAL)?;
        let whole = size.is_power_of_two()
            && counters.iter().all(|at| ring.word(*at).is_some())
            && ring.entry(last, words - 1).is_some();
        whole.then_some(ring).ok_or(Errno::INVAL)
    }

    fn entry(&self, index: u32, word: usize) -> Option<&AtomicU64> {
        let place = (index & (self.size - 1)) as usize * self.words + word;
        let memory: &Mapping = self.memory.borrow();
        memory.long(self.layout.entries + place * size_of::<u64>())
    }

    fn word(&self, at: usize) -> Option<&AtomicU32> {
        self.memory.borrow().word(at)
    }

    fn producer(&self) -> Option<&AtomicU32> {
        self.word(self.layout.producer)
    }

    fn consumer(&self) -> Option<&AtomicU32> {
        self.word(self.layout.consumer)
    }

    /// `ahead` is what the other end's index amounts to.
    fn told(&mut self, theirs: u32, ahead: u32) -> Told {
        if ahead <= self.size {
            self.astray = None;
            return Told::Ahead(ahead);
        }
        if self.astray == Some(theirs) {
            return Told::Nothing;
        }
        self.strange += 1;
        if self.astray.replace(theirs).is_none() {
            return Told::Nothing;
        }
        self.astray = None;
        self.next = theirs;
        Told::Followed
    }

    fn flags(&self) -> u32 {
        let flags = self.word(self.layout.flags);
        flags.map_or(0, |flags| flags.load(Ordering::Relaxed))
    }
}

/// Bytes that a mapping of such a ring needs.
pub(super) fn bytes(layout: Layout, size: u32, words: usize) -> usize {
    layout.entries + size as usize * words * size_of::<u64>()
}

/// 64-bit words in an entry of the fill ring: an address.
pub(super) const FILL_WORDS: usize = 1;
/// And of the receive ring: address, length and options.
pub(super) const RECEIVE_WORDS: usize = 2;

/// The end of the fill ring that offers free frames.
#[derive(Debug)]
pub(super) struct Fill<M = Mapping> {
    ring: Ring<M>,
}

impl<M: Borrow<Mapping>> Fill<M> {
    pub(super) fn new(memory: M, layout: Layout, size: u32) -> Result<Self, Errno> {
        let mut ring = Ring::new(memory, layout, size, FILL_WORDS)?;
        let next = ring.producer();
        ring.next = next.map_or(0, |next| next.load(Ordering::Relaxed));
        Ok(Self { ring })
    }

    /// Frames there is room for. None while the other end's index makes no sense.
    pub(super) fn room(&mut self) -> u32 {
        let taken = self.taken();
        match self.ring.told(taken, self.ring.next.wrapping_sub(taken)) {
            Told::Ahead(frames) => self.ring.size - frames,
            Told::Nothing => 0,
            Told::Followed => self.ring.size,
        }
    }

    /// Whether the other end has frames left.
    pub(super) fn has_frames(&self) -> bool {
        self.taken() != self.ring.next
    }

    fn taken(&self) -> u32 {
        let taken = self.ring.consumer();
        taken.map_or(0, |taken| taken.load(Ordering::Acquire))
    }

    /// Offers the frame at `address`; it is seen once it is [published](Self::publish). There must be room.
    pub(super) fn push(&mut self, address: u64) {
        if let Some(entry) = self.ring.entry(self.ring.next, 0) {
            entry.store(address, Ordering::Relaxed);
            self.ring.next = self.ring.next.wrapping_add(1);
        }
    }

    pub(super) fn publish(&self) {
        if let Some(producer) = self.ring.producer() {
            producer.store(self.ring.next, Ordering::Release);
        }
    }

    /// Times when the other end's index made no sense.
    pub(super) fn strange(&self) -> u64 {
        self.ring.strange
    }

    /// Whether the kernel sleeps until it is told that there are frames.
    pub(super) fn wants_wakeup(&self) -> bool {
        self.ring.flags() & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The end of the receive ring that takes received frames.
#[derive(Debug)]
pub(super) struct Receive<M = Mapping> {
    ring: Ring<M>,
}

impl<M: Borrow<Mapping>> Receive<M> {
    pub(super) fn new(memory: M, layout: Layout, size: u32) -> Result<Self, Errno> {
        let mut ring = Ring::new(memory, layout, size, RECEIVE_WORDS)?;
        let next = ring.consumer();
        ring.next = next.map_or(0, |next| next.load(Ordering::Relaxed));
        Ok(Self { ring })
    }

    /// Descriptors that wait: none while the other end's index makes no sense. `None` if those that
    /// waited are lost.
    pub(super) fn waiting(&mut self) -> Option<u32> {
        let filled = self.ring.producer();
        let filled = filled.map_or(0, |filled| filled.load(Ordering::Acquire));
        match self.ring.told(filled, filled.wrapping_sub(self.ring.next)) {
            Told::Ahead(descriptors) => Some(descriptors),
            Told::Nothing => Some(0),
            Told::Followed => None,
        }
    }

    /// The next that waits. The place is free for the kernel once it is [released](Self::release).
    pub(super) fn pop(&mut self) -> Option<Descriptor> {
        let address = self.ring.entry(self.ring.next, 0)?.load(Ordering::Relaxed);
        let rest = self
            .ring
            .entry(self.ring.next, 1)?
            .load(Ordering::Relaxed)
            .to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = rest;
        self.ring.next = self.ring.next.wrapping_add(1);
        Some(Descriptor {
            address,
            length: u32::from_ne_bytes([a, b, c, d]),
            options: u32::from_ne_bytes([e, f, g, h]),
        })
    }

    pub(super) fn release(&self) {
        if let Some(consumer) = self.ring.consumer() {
            consumer.store(self.ring.next, Ordering::Release);
        }
    }

    /// Times when the other end's index made no sense.
    pub(super) fn strange(&self) -> u64 {
        self.ring.strange
    }
}

#[cfg(test)]
mod tests;
