//! The kernel's end of the rings, played in the same memory, and what must hold of ours.
#![allow(
    clippy::unwrap_used,
    reason = "plays in tests and in the fuzzer, where a panic is a finding"
)]

mod hostile;
mod kernel;
mod memory;

use std::collections::VecDeque;

use super::super::mapping::Mapping;
use super::super::ring::{Fill, Receive};
use super::{Intake, MOST_PARTS, Packet};

pub(in super::super) use hostile::hostile;
pub(super) use kernel::Kernel;
#[cfg(test)]
pub(super) use memory::FRAMES;
pub(super) use memory::{Memory, Sizes, Word};

/// Both ends over one memory, and the packets that are under way.
pub(super) struct Play<'a> {
    pub(super) memory: &'a Memory,
    pub(super) kernel: Kernel<'a>,
    pub(super) intake: Intake<&'a Mapping>,
    under_way: VecDeque<Vec<u8>>,
    sent: u64,
}

impl<'a> Play<'a> {
    /// All indexes begin at `start`.
    pub(super) fn new(memory: &'a Memory, start: u32) -> Self {
        let kernel = Kernel::new(memory, start);
        Self {
            memory,
            kernel,
            intake: intake(memory),
            under_way: VecDeque::new(),
            sent: 0,
        }
    }

    /// A packet in parts of these lengths comes in; `pause` happens amid it. Whether there were frames.
    pub(super) fn send(&mut self, lengths: &[usize], pause: impl FnOnce(&mut Self)) -> bool {
        let Some(frames) = self.kernel.take(lengths.len()) else {
            return false;
        };
        self.sent += 1;
        let packet = packet(self.sent, lengths.iter().sum());
        let (mut rest, mut pause) = (packet.as_slice(), Some(pause));
        for (part, (frame, length)) in frames.iter().zip(lengths).enumerate() {
            let (now, later) = rest.split_at(*length);
            self.kernel.put(*frame, now, !later.is_empty());
            if part == lengths.len() / 2 && !later.is_empty() {
                self.kernel.publish();
                pause.take().into_iter().for_each(|pause| pause(self));
            }
            rest = later;
        }
        self.under_way.push_back(packet);
        self.kernel.publish();
        true
    }

    /// So many parts of a packet come in, each of this length, and its end never does.
    pub(super) fn send_cut(&mut self, parts: usize, length: usize) {
        for frame in self.kernel.take(parts).into_iter().flatten() {
            self.kernel.put(frame, &vec![0xee; length], true);
        }
        self.kernel.publish();
    }

    /// Receives, and lets `each` see a packet's bytes and, of the packets sent, the first under way.
    pub(super) fn receive_with(
        &mut self,
        most: usize,
        mut each: impl FnMut(Vec<u8>, &mut VecDeque<Vec<u8>>),
    ) -> usize {
        let mut seen = 0;
        let packets = self.intake.receive(&self.memory.umem, most, |packet| {
            seen += 1;
            each(copied(&packet), &mut self.under_way);
        });
        assert_eq!(packets, seen);
        assert!(packets <= most);
        self.check();
        packets
    }

    /// Receives what was sent, and nothing else.
    #[cfg(test)]
    pub(super) fn receive(&mut self, most: usize) -> usize {
        self.receive_with(most, |packet, under_way| {
            assert_eq!(Some(packet), under_way.pop_front());
        })
    }

    /// Packets that were sent and not received.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Nobody will see what is under way.
    pub(super) fn forget(&mut self) {
        self.under_way.clear();
    }

    /// Each frame is free, or lent, or part of the packet that is being put together.
    fn check(&self) {
        let Intake { taken, parts, .. } = &self.intake;
        let free = self.intake.frames.free().iter().copied();
        let ours = taken.iter().map(|frame| frame.number());
        let all = set(free.clone()) ^ set(ours.clone()) ^ set(self.lent());
        assert_eq!(all, u64::MAX);
        assert_eq!(free.chain(ours).chain(self.lent()).count(), 64);
        assert!(taken.len() <= MOST_PARTS && taken.len() == parts.len());
    }

    fn lent(&self) -> impl Iterator<Item = u32> {
        let lent = (0u32..).zip(self.intake.frames.lent());
        lent.filter(|(_, lent)| **lent).map(|(frame, _)| frame)
    }

    /// Frames that are not lent.
    fn free(&self) -> usize {
        self.intake.frames.free().len()
    }

    /// Frames of packets that are not complete, at either end.
    fn kept(&self) -> usize {
        self.intake.taken.len() + self.kernel.spare()
    }

    /// Lent frames that neither ring names, nor the kernel has: none will come back.
    pub(super) fn lost(&self) -> usize {
        let lost = set(self.lent()) & !set(self.kernel.named());
        lost.count_ones() as usize
    }
}

/// Frames as bits: there are 64, whatever a forged address names.
fn set(frames: impl Iterator<Item = u32>) -> u64 {
    frames.fold(0, |set, frame| set | 1u64.checked_shl(frame).unwrap_or(0))
}

/// Our end over a memory.
pub(super) fn intake(memory: &Memory) -> Intake<&Mapping> {
    let Sizes { fill, receive } = memory.sizes;
    let fill = Fill::new(&memory.fill, memory.fill_layout(), fill).unwrap();
    let receive = Receive::new(&memory.receive, memory.receive_layout(), receive).unwrap();
    Intake::new(memory::GEOMETRY, fill, receive)
}

/// The bytes of the packet of this number.
pub(super) fn packet(number: u64, length: usize) -> Vec<u8> {
    let bytes = number.to_ne_bytes().into_iter();
    let rest = (0..).map(|at: u64| (at ^ number.wrapping_mul(31)) as u8);
    bytes.chain(rest).take(length).collect()
}

/// All bytes of a packet, and no more than it says.
pub(super) fn copied(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; packet.len()];
    assert!(packet.copy_to(0, &mut bytes));
    assert!(!packet.copy_to(packet.len(), &mut [0]));
    bytes
}
