//! How many writes the API server gets: a token bucket that all writers share.

use std::time::{Duration, Instant};

/// Tokens a second.
const RATE: f64 = 16.0;
/// Most tokens there are: with those earned meanwhile, and a renewal of the lease, no second sees
/// more than 20 writes.
const DEPTH: f64 = 3.0;

/// The bucket.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: f64,
    counted: Instant,
}

impl Budget {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tokens: DEPTH,
            counted: now,
        }
    }

    /// When there is a token; now or earlier means at once.
    pub(crate) fn next(&self) -> Instant {
        let missing = (1.0 - self.tokens).max(0.0) / RATE;
        self.counted + Duration::from_secs_f64(missing)
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.counted).as_secs_f64() * RATE;
        self.tokens = (self.tokens + earned).min(DEPTH);
        self.counted = self.counted.max(now);
        // What `next` promises is not lost to rounding.
        let there = self.tokens >= 1.0 - 1e-6;
        if there {
            self.tokens -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_twenty() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut taken = Vec::new();
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            while budget.take(now) {
                taken.push(millis);
            }
        }
        assert!((160..=164).contains(&taken.len()), "{}", taken.len());
        for from in 0..9_000 {
            let within = taken.iter().filter(|at| (from..from + 1000).contains(*at));
            assert!(within.count() < 20, "from {from} ms");
        }
    }

    #[test]
    fn the_next_token_comes_when_it_says() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        while budget.take(start) {}
        let next = budget.next();
        assert!(next > start && budget.take(next));
    }
}
