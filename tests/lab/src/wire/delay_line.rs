//! Decides the fate of each frame and keeps it until it is due; no IO and no clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::Impairment;

/// How long a frame is held back so that later ones pass it.
const HELD_BACK: Duration = Duration::from_millis(2);

/// What happens to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    InOrder,
    HeldBack,
    Lost,
}

/// One direction of the wire.
pub(super) struct DelayLine {
    impairment: Impairment,
    random: SplitMix,
    frames: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    serial: u64,
}

impl DelayLine {
    /// `way` gives the two directions different choices from one seed.
    pub(super) fn new(impairment: Impairment, way: u64) -> Self {
        Self {
            impairment,
            random: SplitMix(impairment.seed ^ (way << 63)),
            frames: BinaryHeap::new(),
            serial: 0,
        }
    }

    pub(super) fn put(&mut self, frame: Vec<u8>, now: Instant) -> Fate {
        let fate = self.decide();
        let held = match fate {
            Fate::Lost => return fate,
            Fate::HeldBack => HELD_BACK,
            Fate::InOrder => Duration::ZERO,
        };
        let due = now + self.impairment.delay + held;
        // The serial keeps frames of one instant in order.
        self.frames.push(Reverse((due, self.serial, frame)));
        self.serial += 1;
        fate
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.frames.peek().map(|Reverse((due, ..))| *due)
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next_due().filter(|due| *due <= now)?;
        self.frames.pop().map(|Reverse((_, _, frame))| frame)
    }

    fn decide(&mut self) -> Fate {
        if self.random.share() < self.impairment.loss {
            Fate::Lost
        } else if self.random.share() < self.impairment.reorder {
            Fate::HeldBack
        } else {
            Fate::InOrder
        }
    }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly spread over 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(5);

    fn line(loss: f64, reorder: f64) -> DelayLine {
        let impairment = Impairment {
            delay: DELAY,
            loss,
            reorder,
            seed: 7,
        };
        DelayLine::new(impairment, 0)
    }

    #[test]
    fn a_frame_is_due_after_the_delay_and_not_before() {
        let (mut line, now) = (line(0.0, 0.0), Instant::now());
        line.put(vec![1], now);
        assert_eq!(line.take_due(now + DELAY - Duration::from_nanos(1)), None);
        assert_eq!(line.take_due(now + DELAY), Some(vec![1]));
    }

    #[test]
    fn frames_of_one_instant_keep_their_order() {
        let (mut line, now) = (line(0.0, 0.0), Instant::now());
        for frame in (0..200).rev() {
            line.put(vec![frame], now);
        }
        let out: Vec<u8> = std::iter::from_fn(|| line.take_due(now + DELAY))
            .flatten()
            .collect();
        assert!(out.is_sorted_by(|a, b| a > b) && out.len() == 200);
    }

    #[test]
    fn one_in_a_hundred_is_lost() {
        let (mut line, now) = (line(0.01, 0.0), Instant::now());
        let lost = (0..100_000)
            .filter(|_| line.put(vec![], now) == Fate::Lost)
            .count();
        assert!((900..1100).contains(&lost), "{lost}");
    }

    #[test]
    fn a_frame_held_back_is_passed_by_later_ones() {
        let (mut line, now) = (line(0.0, 1.0), Instant::now());
        line.put(vec![1], now);
        line.impairment.reorder = 0.0;
        line.put(vec![2], now + Duration::from_millis(1));
        let later = now + DELAY + HELD_BACK;
        assert_eq!(line.take_due(later), Some(vec![2]));
        assert_eq!(line.take_due(later), Some(vec![1]));
    }
}
