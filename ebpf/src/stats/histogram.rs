use std::ops::AddAssign;

use stoq_ebpf_abi::histogram::{SIZE_BUCKETS, TIME_BUCKETS, upper_bound};

/// How often values of which size were seen. Buckets are at most an eighth as wide as they are high; the last one also
/// holds all that is too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: Box<[u64]>,
    sum: u64,
}

impl Histogram {
    /// An empty one, of sizes in bytes.
    pub fn sizes() -> Self {
        Self::empty(SIZE_BUCKETS)
    }

    /// An empty one, of durations in microseconds.
    pub fn times() -> Self {
        Self::empty(TIME_BUCKETS)
    }

    fn empty(buckets: usize) -> Self {
        Self {
            buckets: vec![0; buckets].into(),
            sum: 0,
        }
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of all values, exact.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Of each bucket its upper bound, which it does not reach itself, and how many values lie below. What Prometheus
    /// calls `+Inf` is the last one's count.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        self.buckets
            .iter()
            .enumerate()
            .scan(0, |below, (index, count)| {
                *below += count;
                Some((upper_bound(index), *below))
            })
    }

    /// The value below which the share `q` of all values lies, by interpolation within its bucket; `None` of nothing.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q.clamp(0.0, 1.0) * self.count() as f64;
        let mut lower = 0;
        let mut before = 0;
        for (upper, below) in self.cumulative() {
            if below > before && below as f64 >= rank {
                let share = (rank - before as f64) / (below - before) as f64;
                return Some(lower as f64 + share * (upper - lower) as f64);
            }
            (lower, before) = (upper, below);
        }
        None
    }

    pub(super) fn add(&mut self, buckets: &[u64], sum: u64) {
        super::slot::add(&mut self.buckets, buckets);
        self.sum += sum;
    }

    pub(super) fn set_sum(&mut self, sum: u64) {
        self.sum = sum;
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        self.add(&other.buckets, other.sum);
    }
}

#[cfg(test)]
mod tests {
    use stoq_ebpf_abi::histogram::{TIME_BITS, index};

    use super::*;

    fn times(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::times();
        for value in values {
            histogram.buckets[index(value, TIME_BITS)] += 1;
            histogram.sum += value;
        }
        histogram
    }

    #[test]
    fn a_quantile_is_within_an_eighth() {
        let histogram = times(1..=100_000);
        for q in [0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let (read, truth) = (histogram.quantile(q).unwrap(), q * 100_000.0);
            assert!(
                (read / truth - 1.0).abs() < 0.125,
                "{q}: {read} for {truth}"
            );
        }
    }

    #[test]
    fn a_single_value_lies_in_its_bucket() {
        let histogram = times([1000]);
        for q in [0.0, 0.5, 1.0] {
            let read = histogram.quantile(q).unwrap();
            assert!((960.0..=1024.0).contains(&read), "{q}: {read}");
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::sizes().quantile(0.5), None);
    }

    #[test]
    fn counts_accumulate_up_to_all() {
        let histogram = times([0, 0, 3, 9, u64::from(u32::MAX)]);
        let below: Vec<_> = histogram.cumulative().collect();
        assert_eq!(below[..5], [(1, 2), (2, 2), (3, 2), (4, 3), (5, 3)]);
        assert_eq!(below.last().unwrap(), &(1 << TIME_BITS, 5));
        assert_eq!(histogram.count(), 5);
    }
}
