//! How many packets are due.

use std::time::Duration;

/// Packets of one system call at most: about a millisecond.
const CHUNK: u64 = 4096;

/// A total rate and an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Packets per second; None sends as fast as it goes.
    pub(super) rate: Option<u64>,
    /// None: for ever.
    pub(super) duration: Option<Duration>,
}

impl Pace {
    /// Packets to send now, after `elapsed` and `sent`; None at the end.
    pub(super) fn due(&self, elapsed: Duration, sent: u64) -> Option<u32> {
        if self.duration.is_some_and(|duration| elapsed >= duration) {
            return None;
        }
        let owed = self.rate.map_or(CHUNK, |rate| {
            ((rate as f64 * elapsed.as_secs_f64()) as u64).saturating_sub(sent)
        });
        Some(owed.min(CHUNK) as u32)
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
}
