//! Quantiles of measured times.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Quantiles of a set of times, in seconds; all zero without samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many samples.
    pub samples: u64,
    /// The smallest.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 % are at or below.
    pub p90: f64,
    /// 95 % are at or below.
    pub p95: f64,
    /// 99 % are at or below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// Of times in microseconds, in any order.
    pub fn of_micros(mut samples: Vec<u32>) -> Self {
        samples.sort_unstable();
        let at = |q: f64| quantile(&samples, q);
        Self {
            samples: samples.len() as u64,
            min: at(0.0),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

fn quantile(sorted: &[u32], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
    let micros = sorted.get(rank - 1).copied().unwrap_or(0);
    f64::from(micros) / 1e6
}

/// Times collected from many tasks.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<Vec<u32>>);

impl Samples {
    pub(super) fn add(&self, time: Duration) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(micros(time));
    }

    pub(super) fn all(&self) -> Vec<u32> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        Quantiles::of_micros(self.all())
    }
}

pub(super) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_that_occurred() {
        let quantiles = Quantiles::of_micros((1..=100).rev().map(|ms| ms * 1000).collect());
        assert_eq!((quantiles.min, quantiles.max), (0.001, 0.1));
        assert_eq!((quantiles.p50, quantiles.p99), (0.05, 0.099));
    }

    #[test]
    fn no_samples_are_all_zero() {
        assert_eq!(Quantiles::of_micros(vec![]), Quantiles::default());
    }
}
