//! Finds what was lost, repeated or out of order in one stream; no IO and no clock.

use std::time::{Duration, Instant};

use super::packet::Packet;
use super::receive::Stream;

/// One sender's packets so far.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    seen: Vec<u64>,
    received: u64,
    duplicated: u64,
    reordered: u64,
    /// One above the highest number seen.
    next: u64,
    sent: Option<u64>,
    last: Option<Instant>,
    longest_gap: Duration,
}

/// Numbers above this are no sender's of this lab: the memory for them is not spent.
const HIGHEST: u64 = 1 << 32;

impl Tracker {
    pub(super) fn take(&mut self, packet: Packet, now: Instant) {
        match packet {
            Packet::End(sent) => self.sent = Some(sent),
            Packet::Data(number) if number < HIGHEST => self.data(number, now),
            Packet::Data(_) => {}
        }
    }

    /// Whether the sender said that it has ended.
    pub(super) fn ended(&self) -> bool {
        self.sent.is_some()
    }

    pub(super) fn report(&self, source: String) -> Stream {
        let sent = self.sent.unwrap_or(self.next).max(self.next);
        Stream {
            source,
            received: self.received,
            lost: sent - self.received,
            duplicated: self.duplicated,
            reordered: self.reordered,
            longest_gap_ms: self.longest_gap.as_secs_f64() * 1e3,
            ended: self.ended(),
        }
    }

    fn data(&mut self, number: u64, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            self.longest_gap = self.longest_gap.max(now.saturating_duration_since(last));
        }
        if !self.mark(number) {
            self.duplicated += 1;
            return;
        }
        self.received += 1;
        self.reordered += u64::from(number < self.next);
        self.next = self.next.max(number + 1);
    }

    /// False if the number was seen before.
    fn mark(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[u64], end: Option<u64>) -> Stream {
        let (mut tracker, now) = (Tracker::default(), Instant::now());
        for number in numbers {
            tracker.take(Packet::Data(*number), now + Duration::from_millis(*number));
        }
        if let Some(sent) = end {
            tracker.take(Packet::End(sent), now);
        }
        tracker.report("peer".into())
    }

    #[test]
    fn streams_and_what_is_found_in_them() {
        type Counts = (u64, u64, u64, u64);
        // numbers, end, (received, lost, duplicated, reordered)
        let table: [(&[u64], Option<u64>, Counts); 6] = [
            (&[0, 1, 2], Some(3), (3, 0, 0, 0)),
            (&[0, 2], None, (2, 1, 0, 0)),
            (&[0, 1], Some(5), (2, 3, 0, 0)),
            (&[0, 2, 1], Some(3), (3, 0, 0, 1)),
            (&[0, 1, 1, 1], Some(2), (2, 0, 2, 0)),
            (&[], Some(4), (0, 4, 0, 0)),
        ];
        for (numbers, end, expected) in table {
            let found = after(numbers, end);
            let counts = (
                found.received,
                found.lost,
                found.duplicated,
                found.reordered,
            );
            assert_eq!(counts, expected, "{numbers:?}");
        }
    }

    #[test]
    fn the_longest_gap_is_between_arrivals() {
        assert_eq!(after(&[0, 1, 9, 10], None).longest_gap_ms, 8.0);
    }
}
