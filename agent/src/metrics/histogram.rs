//! From the kernel's buckets to Prometheus': the same boundaries, within a fixed range, so that series can be added
//! up over transports and nodes.

use prometheus::proto::{Bucket, Histogram};
use stoq_ebpf_abi::histogram::{SIZE_BITS, TIME_BITS, index, upper_bound};

const SMALLEST_SIZE: u64 = 16;
const LARGEST_SIZE: u64 = 16_384;
/// Microseconds.
const SHORTEST: u64 = 64;
/// Microseconds: 33.5 s.
const LONGEST: u64 = 1 << 25;
/// Buckets per power of two.
const OCTAVE: usize = 8;

/// Sizes in bytes; `sum` is that of all of them.
pub(super) fn sizes(buckets: &[u64], sum: u64) -> Histogram {
    let bounds = bounds(SMALLEST_SIZE, LARGEST_SIZE, SIZE_BITS, 1);
    // A size is a whole number, and `le` includes its bound.
    histogram(buckets, bounds, |bound| (bound - 1) as f64, sum as f64)
}

/// Durations in microseconds; `sum` likewise.
pub(super) fn times(buckets: &[u64], sum: u64) -> Histogram {
    let bounds = bounds(SHORTEST, LONGEST, TIME_BITS, 1);
    histogram(buckets, bounds, seconds, seconds(sum))
}

/// Durations in microseconds, one bucket per power of two; `sum` in seconds.
pub(super) fn coarse_times(buckets: &[u64], sum: f64) -> Histogram {
    let bounds = bounds(SHORTEST, LONGEST, TIME_BITS, OCTAVE);
    histogram(buckets, bounds, seconds, sum)
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Every `step`th bucket that ends within `from..=to`.
fn bounds(from: u64, to: u64, bits: u32, step: usize) -> impl Iterator<Item = usize> {
    (index(from, bits) - 1..index(to, bits)).step_by(step)
}

fn histogram(
    buckets: &[u64],
    bounds: impl Iterator<Item = usize>,
    le: impl Fn(u64) -> f64,
    sum: f64,
) -> Histogram {
    let mut below = 0;
    let mut next = 0;
    let shown = bounds.map(|last| {
        below += buckets[next..=last].iter().sum::<u64>();
        next = last + 1;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(le(upper_bound(last)));
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(shown.collect());
    histogram.set_sample_count(buckets.iter().sum());
    histogram.set_sample_sum(sum);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoq_ebpf_abi::histogram::{SIZE_BUCKETS, TIME_BUCKETS};

    #[test]
    fn any_quantile_is_within_15_percent() {
        let mut value = 64.0;
        while value < 32e6 {
            value *= 1.013;
            let mut buckets = [0; TIME_BUCKETS];
            buckets[index(value as u64, TIME_BITS)] = 100;
            let histogram = times(&buckets, 0);
            for q in [0.01, 0.5, 0.99] {
                let found = quantile(&histogram, q) * 1e6;
                let off = (found - value).abs() / value;
                assert!(off <= 0.15, "{value} us: q{q} is {found}");
            }
        }
    }

    #[test]
    fn a_size_counts_in_the_bucket_that_includes_it() {
        for (size, le) in [
            (1, 15.0),
            (16, 17.0),
            (1200, 1279.0),
            (1279, 1279.0),
            (1280, 1407.0),
        ] {
            let mut buckets = [0; SIZE_BUCKETS];
            buckets[index(size, SIZE_BITS)] = 1;
            let histogram = sizes(&buckets, size);
            let mut shown = histogram.get_bucket().iter();
            let first = shown.find(|bucket| bucket.cumulative_count() == 1).unwrap();
            assert_eq!(first.upper_bound(), le, "{size}");
        }
    }

    #[test]
    fn the_range_is_fixed_and_nothing_outside_of_it_is_lost() {
        let mut buckets = [0; TIME_BUCKETS];
        buckets[0] = 1;
        buckets[TIME_BUCKETS - 1] = 2;
        for (histogram, len) in [(times(&buckets, 7), 153), (coarse_times(&buckets, 7.0), 20)] {
            let shown = histogram.get_bucket();
            assert_eq!(shown.len(), len);
            assert_eq!(shown[0].upper_bound(), 64e-6);
            assert_eq!(shown[0].cumulative_count(), 1);
            assert_eq!(shown[len - 1].upper_bound(), 33.554_432);
            assert_eq!(shown[len - 1].cumulative_count(), 1);
            assert_eq!(histogram.get_sample_count(), 3);
        }
        assert_eq!(sizes(&[0; SIZE_BUCKETS], 0).get_bucket().len(), 81);
    }

    /// As PromQL's `histogram_quantile` does it.
    fn quantile(histogram: &Histogram, q: f64) -> f64 {
        let rank = q * histogram.get_sample_count() as f64;
        let (mut low, mut before) = (0.0, 0.0);
        for bucket in histogram.get_bucket() {
            let (high, upto) = (bucket.upper_bound(), bucket.cumulative_count() as f64);
            if upto >= rank && upto > before {
                return low + (high - low) * (rank - before) / (upto - before);
            }
            (low, before) = (high, upto);
        }
        low
    }
}
