//! Quantiles of the agent's histograms, as PromQL's `histogram_quantile` finds them.
// Each test file that includes this one uses a part of it.
#![allow(dead_code)]

use crate::agent::Metrics;

/// Upper bounds with cumulative counts, smallest first.
pub(crate) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// The histogram of that name, all series added up.
    pub(crate) fn of(metrics: &Metrics, name: &str) -> Self {
        let prefix = format!("{name}_bucket{{");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (series, count) in &metrics.0 {
            let Some(bound) = series.strip_prefix(&prefix).and_then(bound) else {
                continue;
            };
            match buckets.iter_mut().find(|(other, _)| *other == bound) {
                Some(bucket) => bucket.1 += count,
                None => buckets.push((bound, *count)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self(buckets)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count as u64)
    }

    /// The quantile `q`, between the bounds of its bucket in proportion to the rank; 0 without
    /// samples.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let rank = q * self.count() as f64;
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if count >= rank && count > below.1 {
                let share = (rank - below.1) / (count - below.1);
                return if bound.is_finite() {
                    below.0 + (bound - below.0) * share
                } else {
                    below.0
                };
            }
            below = (bound, count);
        }
        0.0
    }
}

/// Whether quantiles are within 15 % of the exact ones.
pub(crate) fn near(what: &str, found: &Histogram, exact: &[(f64, f64)]) -> bool {
    let mut held = true;
    for (q, exact) in exact {
        let off = found.quantile(*q) / exact - 1.0;
        let samples = found.count();
        eprintln!(
            "{what}: q{q} of {samples} samples: {exact} {:+.1} %",
            off * 100.0
        );
        held &= off.abs() <= 0.15;
    }
    held
}

fn bound(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    rest.split_once('"')?.0.parse().ok()
}
