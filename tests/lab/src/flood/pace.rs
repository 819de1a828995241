//! How many packets are due.

use std::time::Duration;

/// Packets of one system call at most: about a millisecond.
const CHUNK: u64 = 4096;
/// What a flood may be behind at its end and yet send: some 70 ms at full speed.
const REST: u64 = 65_536;

/// A total rate and an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Packets per second; None sends as fast as it goes.
    pub(super) rate: Option<u64>,
    /// None: for ever.
    pub(super) duration: Option<Duration>,
}

impl Pace {
    /// Packets to send now, after `elapsed` and `sent`; None at the end. A flood that has kept its
    /// rate ends with exactly as many packets as rate and duration make.
    pub(super) fn due(&self, elapsed: Duration, sent: u64) -> Option<u32> {
        let over = self.duration.is_some_and(|duration| elapsed >= duration);
        let Some(rate) = self.rate else {
            return (!over).then_some(CHUNK as u32);
        };
        let elapsed = self.duration.map_or(elapsed, |end| elapsed.min(end));
        let owed = ((rate as f64 * elapsed.as_secs_f64()) as u64).saturating_sub(sent);
        let behind = owed > REST;
        (!over || (owed > 0 && !behind)).then_some(owed.min(CHUNK) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn unlimited_sends_whole_chunks() {
        let pace = Pace {
            rate: None,
            duration: None,
        };
        assert_eq!(pace.due(1000 * MS, 1 << 40), Some(CHUNK as u32));
    }

    #[test]
    fn a_rate_owes_what_time_has_earned() {
        let pace = Pace {
            rate: Some(100_000),
            duration: None,
        };
        for (elapsed, sent, due) in [
            (MS, 0, 100),
            (MS, 100, 0),
            (MS, 150, 0),
            (1000 * MS, 0, 4096),
        ] {
            assert_eq!(pace.due(elapsed, sent), Some(due), "{elapsed:?} {sent}");
        }
    }

    #[test]
    fn it_ends_with_its_duration() {
        let pace = Pace {
            rate: None,
            duration: Some(3 * MS),
        };
        assert!(pace.due(2 * MS, 0).is_some());
        assert_eq!(pace.due(3 * MS, 0), None);
    }

    #[test]
    fn at_its_end_it_sends_the_last_of_its_packets_unless_it_is_far_behind() {
        let pace = Pace {
            rate: Some(100_000_000),
            duration: Some(MS),
        };
        for (elapsed, sent, due) in [
            (MS, 99_900, Some(100)),
            (3 * MS, 99_900, Some(100)),
            (3 * MS, 40_000, Some(4096)),
            (3 * MS, 30_000, None),
            (3 * MS, 100_000, None),
        ] {
            assert_eq!(pace.due(elapsed, sent), due, "{elapsed:?} {sent}");
        }
    }
}
