//! What became of the requests, second by second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::quantiles::{Quantiles, micros};

/// One second of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Requests answered in full.
    pub ok: u64,
    /// Requests that were not, in time.
    pub failed: u64,
    /// Response bytes that arrived.
    pub bytes: u64,
    /// Latency of the answered requests, in seconds.
    pub latency_s: Quantiles,
}

/// Collects what happens, by the second of its end.
#[derive(Debug)]
pub(super) struct Series {
    start: Instant,
    seconds: Mutex<Vec<Raw>>,
}

#[derive(Debug, Clone, Default)]
struct Raw {
    failed: u64,
    bytes: u64,
    latencies: Vec<u32>,
}

impl Series {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            seconds: Mutex::default(),
        }
    }

    pub(super) fn answered(&self, latency: Duration) {
        self.now(|second| second.latencies.push(micros(latency)));
    }

    pub(super) fn failed(&self) {
        self.now(|second| second.failed += 1);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.now(|second| second.bytes += bytes as u64);
    }

    /// Each second so far.
    pub(super) fn seconds(&self) -> Vec<Second> {
        self.lock().iter().map(Raw::finish).collect()
    }

    /// The seconds from `first` to before `end`, as one.
    pub(super) fn between(&self, first: usize, end: usize) -> Second {
        let mut all = Raw::default();
        for second in self.lock().iter().take(end).skip(first) {
            all.failed += second.failed;
            all.bytes += second.bytes;
            all.latencies.extend(&second.latencies);
        }
        all.finish()
    }

    /// Latency over all seconds.
    pub(super) fn latency(&self) -> Quantiles {
        Quantiles::of_micros(
            self.lock()
                .iter()
                .flat_map(|s| &s.latencies)
                .copied()
                .collect(),
        )
    }

    fn now(&self, change: impl FnOnce(&mut Raw)) {
        let second = self.start.elapsed().as_secs() as usize;
        let mut seconds = self.lock();
        if seconds.len() <= second {
            seconds.resize(second + 1, Raw::default());
        }
        change(&mut seconds[second]);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Raw>> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Raw {
    fn finish(&self) -> Second {
        Second {
            ok: self.latencies.len() as u64,
            failed: self.failed,
            bytes: self.bytes,
            latency_s: Quantiles::of_micros(self.latencies.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_fall_into_the_second_of_their_end() {
        let two_seconds_ago = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        let series = Series::new(two_seconds_ago);
        series.answered(Duration::from_millis(3));
        series.received(100);
        series.failed();
        let seconds = series.seconds();
        assert_eq!(
            (seconds.len(), seconds[0], seconds[1]),
            (3, Second::default(), Second::default())
        );
        assert_eq!(
            (seconds[2].ok, seconds[2].failed, seconds[2].bytes),
            (1, 1, 100)
        );
        assert_eq!(series.latency().p50, 0.003);
        assert_eq!(series.between(0, 2), Second::default());
        assert_eq!(series.between(1, 3), seconds[2]);
    }
}
