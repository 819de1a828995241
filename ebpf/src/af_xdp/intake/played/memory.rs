//! Memory for two rings and a UMEM.

use std::sync::atomic::Ordering;

use super::super::super::mapping::Mapping;
use super::super::super::ring::{FILL_WORDS, Layout, RECEIVE_WORDS};
use super::super::super::umem::Geometry;

pub(in super::super) const FRAMES: u32 = 64;
pub(super) const FRAME_SIZE: u32 = 2048;
pub(super) const GEOMETRY: Geometry = match Geometry::new(FRAMES, FRAME_SIZE) {
    Ok(geometry) => geometry,
    Err(_) => panic!(),
};
const PAGE: usize = 4096;

/// Entries of the rings.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sizes {
    pub(in super::super) fill: u32,
    pub(in super::super) receive: u32,
}

/// The words of both rings that are no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Word {
    FillProducer,
    FillConsumer,
    FillFlags,
    ReceiveProducer,
    ReceiveConsumer,
    ReceiveFlags,
}

/// What both ends map.
pub(in super::super) struct Memory {
    pub(in super::super) umem: Mapping,
    pub(super) fill: Mapping,
    pub(super) receive: Mapping,
    pub(super) sizes: Sizes,
}

impl Memory {
    pub(in super::super) fn new(sizes: Sizes) -> Self {
        Self {
            umem: Mapping::anonymous(GEOMETRY.bytes()).unwrap(),
            fill: Mapping::anonymous(PAGE).unwrap(),
            receive: Mapping::anonymous(PAGE).unwrap(),
            sizes,
        }
    }

    pub(super) fn fill_layout(&self) -> Layout {
        layout(self.sizes.fill, FILL_WORDS)
    }

    pub(super) fn receive_layout(&self) -> Layout {
        layout(self.sizes.receive, RECEIVE_WORDS)
    }

    /// Of the fill ring.
    pub(in super::super) fn address(&self, index: u32) -> u64 {
        let at = place(self.fill_layout(), index, self.sizes.fill, FILL_WORDS);
        self.fill.long(at).unwrap().load(Ordering::Relaxed)
    }

    /// Writes an entry of the fill ring.
    pub(in super::super) fn offer(&self, index: u32, address: u64) {
        let at = place(self.fill_layout(), index, self.sizes.fill, FILL_WORDS);
        let entry = self.fill.long(at).unwrap();
        entry.store(address, Ordering::Relaxed);
    }

    /// Writes an entry of the receive ring: address, then length and options.
    pub(in super::super) fn describe(&self, index: u32, words: [u64; 2]) {
        let size = self.sizes.receive;
        let at = place(self.receive_layout(), index, size, RECEIVE_WORDS);
        for (word, value) in words.into_iter().enumerate() {
            let entry = self.receive.long(at + word * 8).unwrap();
            entry.store(value, Ordering::Relaxed);
        }
    }

    /// The address in an entry of the receive ring.
    pub(super) fn described(&self, index: u32) -> u64 {
        let size = self.sizes.receive;
        let at = place(self.receive_layout(), index, size, RECEIVE_WORDS);
        self.receive.long(at).unwrap().load(Ordering::Relaxed)
    }

    /// Writes to a frame, from a byte of the UMEM on.
    pub(super) fn write(&self, at: usize, value: u64) {
        let place = self.umem.long(at).unwrap();
        place.store(value, Ordering::Relaxed);
    }

    pub(in super::super) fn load(&self, word: Word) -> u32 {
        let (memory, at) = self.word(word);
        memory.word(at).unwrap().load(Ordering::Acquire)
    }

    pub(in super::super) fn store(&self, word: Word, value: u32) {
        let (memory, at) = self.word(word);
        memory.word(at).unwrap().store(value, Ordering::Release);
    }

    fn word(&self, word: Word) -> (&Mapping, usize) {
        let (fill, receive) = (self.fill_layout(), self.receive_layout());
        match word {
            Word::FillProducer => (&self.fill, fill.producer),
            Word::FillConsumer => (&self.fill, fill.consumer),
            Word::FillFlags => (&self.fill, fill.flags),
            Word::ReceiveProducer => (&self.receive, receive.producer),
            Word::ReceiveConsumer => (&self.receive, receive.consumer),
            Word::ReceiveFlags => (&self.receive, receive.flags),
        }
    }
}

/// The last entry ends where the mapping does, so that one step further is noticed.
fn layout(size: u32, words: usize) -> Layout {
    Layout {
        producer: 0,
        consumer: 64,
        flags: 128,
        entries: PAGE - size as usize * words * 8,
    }
}

fn place(layout: Layout, index: u32, size: u32, words: usize) -> usize {
    layout.entries + (index % size) as usize * words * 8
}
