//! An honest kernel: own indexes in own memory, and of the other end it believes what it reads, as
//! Linux does (net/xdp/xsk_queue.h).

use super::memory::{FRAME_SIZE, GEOMETRY, Memory, Word};

/// Bytes that it leaves free at the beginning of a frame.
const HEADROOM: u64 = 256;
/// Bytes of a packet that fit into a frame.
pub(super) const ROOM: usize = FRAME_SIZE as usize - HEADROOM as usize;

pub(in super::super) struct Kernel<'a> {
    memory: &'a Memory,
    /// Its index in the fill ring.
    taken: u32,
    /// And in the receive ring.
    filled: u32,
    /// Frames taken and not used.
    spare: Vec<u64>,
}

impl<'a> Kernel<'a> {
    pub(in super::super) fn new(memory: &'a Memory, start: u32) -> Self {
        memory.store(Word::FillProducer, start);
        memory.store(Word::ReceiveConsumer, start);
        let kernel = Self {
            memory,
            taken: start,
            filled: start,
            spare: Vec::new(),
        };
        kernel.publish();
        kernel
    }

    /// So many frames, if there are, and there is room for as many descriptors.
    pub(in super::super) fn take(&mut self, frames: usize) -> Option<Vec<u64>> {
        while self.spare.len() < frames {
            let frame = self.next_frame()?;
            self.spare.push(frame);
        }
        let ahead = { self.filled }.wrapping_sub(self.memory.load(Word::ReceiveConsumer));
        // Too far ahead is taken for much room, as Linux does.
        let room = self.memory.sizes.receive.wrapping_sub(ahead);
        (room as usize >= frames).then(|| self.spare.drain(..frames).collect())
    }

    fn next_frame(&mut self) -> Option<u64> {
        // Linux would walk on for as long as the producer says: up to 2^32 entries.
        for _ in 0..2 * self.memory.sizes.fill {
            if self.offered() == 0 {
                return None;
            }
            let address = self.memory.address(self.taken);
            self.taken = self.taken.wrapping_add(1);
            if address < GEOMETRY.bytes() as u64 {
                return Some(address - address % u64::from(FRAME_SIZE));
            }
        }
        None
    }

    /// Frames that the fill ring says there are.
    pub(in super::super) fn offered(&self) -> u32 {
        let produced = self.memory.load(Word::FillProducer);
        produced.wrapping_sub(self.taken)
    }

    /// Writes a part of a packet and its descriptor.
    pub(in super::super) fn put(&mut self, frame: u64, part: &[u8], more: bool) {
        let address = frame + HEADROOM;
        for (word, bytes) in part.chunks(8).enumerate() {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            let at = address as usize + word * 8;
            self.memory.write(at, u64::from_ne_bytes(value));
        }
        let options = if more { libc::XDP_PKT_CONTD } else { 0 };
        let words = [address, described(part.len() as u32, options)];
        self.memory.describe(self.filled, words);
        self.filled = self.filled.wrapping_add(1);
    }

    /// Shows its indexes.
    pub(in super::super) fn publish(&self) {
        self.memory.store(Word::FillConsumer, self.taken);
        self.memory.store(Word::ReceiveProducer, self.filled);
    }

    /// Places in the receive ring, from the last that is written back to the first that waits.
    pub(in super::super) fn waiting(&self) -> impl Iterator<Item = u32> + use<> {
        let (read, filled) = (self.memory.load(Word::ReceiveConsumer), self.filled);
        (1..=filled.wrapping_sub(read)).map(move |back| filled.wrapping_sub(back))
    }

    /// Places in the fill ring that it has yet to take.
    pub(in super::super) fn untaken(&self) -> impl Iterator<Item = u32> + use<> {
        let taken = self.taken;
        (0..self.offered()).map(move |ahead| taken.wrapping_add(ahead))
    }

    /// Whether both rings' indexes make sense.
    pub(in super::super) fn is_sane(&self) -> bool {
        let waiting = { self.filled }.wrapping_sub(self.memory.load(Word::ReceiveConsumer));
        self.offered() <= self.memory.sizes.fill && waiting <= self.memory.sizes.receive
    }

    /// Frames taken and not used.
    pub(super) fn spare(&self) -> usize {
        self.spare.len()
    }

    /// Frames that may yet come back. The indexes must make sense.
    pub(super) fn named(&self) -> impl Iterator<Item = u32> {
        let fill = self.untaken().map(|index| self.memory.address(index));
        let receive = self.waiting().map(|index| self.memory.described(index));
        let all = fill.chain(receive).chain(self.spare.iter().copied());
        all.filter_map(|address| u32::try_from(address / u64::from(FRAME_SIZE)).ok())
    }
}

/// The second word of a descriptor.
pub(in super::super) fn described(length: u32, options: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (length.to_ne_bytes(), options.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}
