//! The two ends of a ring that we have: we produce free frames, and consume received ones.
//!
//! The other end is the kernel, but the memory is shared with whoever else has the socket, so
//! nothing in it is believed: our own index is kept here, the other's is checked against the size,
//! and every place in the ring is masked.

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
}

impl<M: Borrow<Mapping>> Ring<M> {
    fn new(memory: M, layout: Layout, size: u32, words: usize) -> Result<Self, Errno> {
        let ring = Self {
            memory,
            layout,
            size,
            words,
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
    next: u32,
}

impl<M: Borrow<Mapping>> Fill<M> {
    pub(super) fn new(memory: M, layout: Layout, size: u32) -> Result<Self, Errno> {
        let ring = Ring::new(memory, layout, size, FILL_WORDS)?;
        let next = ring
            .producer()
            .map_or(0, |next| next.load(Ordering::Relaxed));
        Ok(Self { ring, next })
    }

    /// Frames there is room for. None where the other end's index makes no sense.
    pub(super) fn room(&self) -> u32 {
        let taken = self
            .ring
            .consumer()
            .map_or(0, |taken| taken.load(Ordering::Acquire));
        self.ring.size.saturating_sub(self.next.wrapping_sub(taken))
    }

    /// Whether the other end has frames left.
    pub(super) fn has_frames(&self) -> bool {
        self.room() < self.ring.size
    }

    /// Offers the frame at `address`; it is seen once it is [published](Self::publish). There must be room.
    pub(super) fn push(&mut self, address: u64) {
        if let Some(entry) = self.ring.entry(self.next, 0) {
            entry.store(address, Ordering::Relaxed);
            self.next = self.next.wrapping_add(1);
        }
    }

    pub(super) fn publish(&self) {
        if let Some(producer) = self.ring.producer() {
            producer.store(self.next, Ordering::Release);
        }
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
    next: u32,
}

impl<M: Borrow<Mapping>> Receive<M> {
    pub(super) fn new(memory: M, layout: Layout, size: u32) -> Result<Self, Errno> {
        let ring = Ring::new(memory, layout, size, RECEIVE_WORDS)?;
        let next = ring
            .consumer()
            .map_or(0, |next| next.load(Ordering::Relaxed));
        Ok(Self { ring, next })
    }

    /// Descriptors that wait; `None` where the other end's index makes no sense.
    pub(super) fn waiting(&self) -> Option<u32> {
        let filled = self.ring.producer()?.load(Ordering::Acquire);
        let waiting = filled.wrapping_sub(self.next);
        (waiting <= self.ring.size).then_some(waiting)
    }

    /// The next that waits. The place is free for the kernel once it is [released](Self::release).
    pub(super) fn pop(&mut self) -> Option<Descriptor> {
        let address = self.ring.entry(self.next, 0)?.load(Ordering::Relaxed);
        let rest = self
            .ring
            .entry(self.next, 1)?
            .load(Ordering::Relaxed)
            .to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = rest;
        self.next = self.next.wrapping_add(1);
        Some(Descriptor {
            address,
            length: u32::from_ne_bytes([a, b, c, d]),
            options: u32::from_ne_bytes([e, f, g, h]),
        })
    }

    pub(super) fn release(&self) {
        if let Some(consumer) = self.ring.consumer() {
            consumer.store(self.next, Ordering::Release);
        }
    }

    /// Goes on behind whatever the other end says it has written: for an index that made no sense.
    pub(super) fn skip(&mut self) {
        if let Some(producer) = self.ring.producer() {
            self.next = producer.load(Ordering::Acquire);
            self.release();
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in super::super) const LAYOUT: Layout = Layout {
        producer: 0,
        consumer: 64,
        flags: 128,
        entries: 192,
    };

    /// Zeros that a ring fits into.
    pub(in super::super) fn memory() -> Mapping {
        Mapping::anonymous(64 * 1024).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{LAYOUT, memory};
    use super::*;

    fn set(memory: &Mapping, at: usize, value: u32) {
        memory.word(at).unwrap().store(value, Ordering::Relaxed);
    }

    #[test]
    fn a_ring_that_does_not_fit_its_memory_is_refused() {
        for (layout, size) in [
            (LAYOUT, 0),
            (LAYOUT, 3),
            (LAYOUT, 1 << 20),
            (
                Layout {
                    producer: 2,
                    ..LAYOUT
                },
                64,
            ),
            (
                Layout {
                    flags: 1 << 20,
                    ..LAYOUT
                },
                64,
            ),
            (
                Layout {
                    entries: usize::MAX / 2,
                    ..LAYOUT
                },
                64,
            ),
        ] {
            let ring = Receive::new(memory(), layout, size);
            assert_eq!(ring.map(drop), Err(Errno::INVAL), "{layout:?} {size}");
        }
    }

    #[test]
    fn room_and_waiting_hold_across_the_wrap_of_their_indexes() {
        for start in [0, 1, u32::MAX - 2, u32::MAX] {
            let memory = memory();
            set(&memory, LAYOUT.producer, start);
            set(&memory, LAYOUT.consumer, start);
            let mut fill = Fill::new(memory, LAYOUT, 64).unwrap();
            assert_eq!(fill.room(), 64);
            assert!(!fill.has_frames());
            for frame in 0..64 {
                fill.push(frame * 2048);
            }
            fill.publish();
            assert_eq!(fill.room(), 0, "{start}");
            set(&fill.ring.memory, LAYOUT.consumer, start.wrapping_add(10));
            assert_eq!(fill.room(), 10, "{start}");
            assert!(fill.has_frames());
        }
    }

    #[test]
    fn an_index_that_makes_no_sense_gives_neither_room_nor_frames() {
        for wild in [1, 65, 1 << 31] {
            let memory = memory();
            set(&memory, LAYOUT.consumer, wild);
            assert_eq!(Fill::new(memory, LAYOUT, 64).unwrap().room(), 0, "{wild}");
        }
        for wild in [65, 1 << 31, u32::MAX] {
            let memory = memory();
            let mut receive = Receive::new(memory, LAYOUT, 64).unwrap();
            set(&receive.ring.memory, LAYOUT.producer, wild);
            assert_eq!(receive.waiting(), None, "{wild}");
            receive.skip();
            assert_eq!(receive.waiting(), Some(0), "{wild}");
        }
    }
}
