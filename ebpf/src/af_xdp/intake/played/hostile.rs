//! A peer that writes what it likes into all memory that both ends map.

use super::super::MOST_PARTS;
use super::kernel::{ROOM, described};
use super::memory::{FRAME_SIZE, FRAMES};
use super::{Memory, Play, Sizes, Word};

/// Plays an arbitrary script: a kernel that receives, calls to receive, and writes of any bytes to
/// rings and frames between them; at its end the peer is honest again.
///
/// # Panics
/// If a frame is in two places or in none, if honest packets do not come through in the end, or if
/// more frames are lost than entries were written over.
pub(in super::super::super) fn hostile(script: &[u8]) {
    let mut script = Script(script);
    // As the agent makes them: each has room for every frame. The kernel could overrun a smaller one
    // with its last frame, and would then never put its index right.
    let sizes = Sizes {
        fill: FRAMES << (script.byte() & 1),
        receive: FRAMES << (script.byte() & 1),
    };
    let memory = Memory::new(sizes);
    let start = script.number() as u32;
    let mut scene = Scene {
        play: Play::new(&memory, start),
        ruined: 0,
        indexes_are_sound: true,
    };
    while let Some(step) = script.next() {
        scene.step(step, &mut script);
    }
    scene.end();
}

/// Zeros once it has ended.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// Two bytes that lie about a power of two, or about zero, from above or below.
    fn number(&mut self) -> u64 {
        let (shift, small) = (self.byte(), self.byte() as i8);
        let power = 1u64.checked_shl(shift.into()).unwrap_or(0);
        power.wrapping_add_signed(i64::from(small))
    }
}

struct Scene<'a> {
    play: Play<'a>,
    /// Entries written over that the other end had yet to read.
    ruined: usize,
    /// No index was written over.
    indexes_are_sound: bool,
}

impl Scene<'_> {
    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step & 7 {
            0 | 1 => self.send(step, script),
            2 => self.receive(usize::from(script.byte())),
            3 => self.forge_descriptor(script),
            4 => self.forge_address(script),
            5 => self.forge_index(script),
            6 => self.scribble(script),
            _ => self.play.kernel.publish(),
        }
    }

    fn send(&mut self, step: u8, script: &mut Script<'_>) {
        let (many, cut) = (step & 8 != 0, step & 16 != 0);
        let shape = script.byte();
        let length = 1 + usize::from(script.byte()) * 7;
        assert!(length <= ROOM);
        let parts = if many {
            1 + usize::from(script.byte()) % (MOST_PARTS + 2)
        } else {
            1 + usize::from(shape & 3)
        };
        if cut {
            self.play.send_cut(parts, length);
            return;
        }
        let pause = shape & 4 != 0;
        self.play.send(&vec![length; parts], |play| {
            if pause {
                play.receive_with(usize::from(shape >> 3), |_, _| {});
            }
        });
    }

    /// What comes is checked to be within the frames, and is otherwise anything.
    fn receive(&mut self, most: usize) {
        self.play.receive_with(most, |packet, _| {
            assert!(packet.len() <= MOST_PARTS * FRAME_SIZE as usize);
        });
    }

    fn forge_descriptor(&mut self, script: &mut Script<'_>) {
        let index = u32::from(script.byte());
        let address = match script.byte() {
            frame @ 0..=63 => u64::from(frame) * u64::from(FRAME_SIZE) + u64::from(script.byte()),
            _ => script.number(),
        };
        let rest = described(script.number() as u32, u32::from(script.byte()));
        let (memory, size) = (self.play.memory, self.play.memory.sizes.receive);
        let mut waiting = self.play.kernel.waiting().take(size as usize);
        self.ruined += usize::from(waiting.any(|place| place % size == index % size));
        memory.describe(index, [address, rest]);
    }

    fn forge_address(&mut self, script: &mut Script<'_>) {
        let (index, address) = (u32::from(script.byte()), script.number());
        let (memory, size) = (self.play.memory, self.play.memory.sizes.fill);
        let mut untaken = self.play.kernel.untaken().take(size as usize);
        self.ruined += usize::from(untaken.any(|place| place % size == index % size));
        memory.offer(index, address);
    }

    fn forge_index(&mut self, script: &mut Script<'_>) {
        let (word, wild) = match script.byte() % 6 {
            0 => (Word::FillProducer, true),
            1 => (Word::FillConsumer, true),
            2 => (Word::ReceiveProducer, true),
            3 => (Word::ReceiveConsumer, true),
            4 => (Word::FillFlags, false),
            _ => (Word::ReceiveFlags, false),
        };
        let by = script.number() as u32;
        let value = self.play.memory.load(word).wrapping_add(by);
        self.play.memory.store(word, value);
        self.indexes_are_sound &= !wild;
    }

    fn scribble(&mut self, script: &mut Script<'_>) {
        let frame = u32::from(script.byte()) % FRAMES;
        let at = u64::from(frame * FRAME_SIZE) + u64::from(script.byte()) * 8;
        self.play.memory.write(at as usize, script.number());
    }

    /// The peer is honest from here on.
    fn end(&mut self) {
        // Each steps past what either ring holds. Miri looks at single steps, and is slow.
        const ROUNDS: usize = 6 * FRAMES as usize;
        if cfg!(miri) {
            return;
        }
        let (mut sent, mut arrived) = (false, false);
        for _ in 0..ROUNDS {
            self.play.kernel.publish();
            self.receive(usize::MAX);
            self.play.forget();
            sent = self.play.send(&[8], |_| {});
            arrived = false;
            self.play.receive_with(usize::MAX, |packet, under_way| {
                arrived = Some(packet) == under_way.pop_front();
            });
        }
        if !sent && !self.indexes_are_sound {
            // All was lost with the indexes, or we would offer it; without frames nothing moves.
            assert_eq!((self.play.kernel.offered(), self.play.free()), (0, 0));
            return;
        }
        assert!(self.play.kernel.is_sane());
        assert_eq!(arrived, sent, "a packet that the kernel had a frame for");
        let lost = self.play.lost();
        assert!(sent || lost + self.play.kept() == FRAMES as usize);
        let is_bounded = lost <= self.ruined || !self.indexes_are_sound;
        assert!(is_bounded, "{lost} frames lost, {} entries", self.ruined);
    }
}
