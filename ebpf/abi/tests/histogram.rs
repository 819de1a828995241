//! Quantiles read from a histogram, against those of the values themselves.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use stoq_ebpf_abi::histogram::{SIZE_BITS, TIME_BITS, buckets, index, upper_bound};

/// The bounds of the bucket that holds the quantile.
fn quantile(values: &[u64], bits: u32, share: f64) -> (u64, u64) {
    let mut counts = vec![0u64; buckets(bits)];
    values
        .iter()
        .for_each(|value| counts[index(*value, bits)] += 1);
    let rank = rank(values, share) as u64;
    let mut seen = 0;
    let at = counts.iter().position(|count| {
        seen += count;
        seen > rank
    });
    let at = at.unwrap();
    (
        if at == 0 { 0 } else { upper_bound(at - 1) },
        upper_bound(at),
    )
}

fn rank(values: &[u64], share: f64) -> usize {
    ((values.len() - 1) as f64 * share) as usize
}

/// Numbers from 0 to 1, always the same.
fn evenly(count: u64) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| (i * 7_919 % count) as f64 / count as f64)
}

#[track_caller]
fn close(values: &[u64], bits: u32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    for share in [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let exact = sorted[rank(values, share)];
        let (low, high) = quantile(values, bits, share);
        assert!(
            low <= exact && exact < high,
            "{exact} in [{low}, {high}) at {share}"
        );
        // Whatever of its bucket a reader takes, small whole numbers aside.
        let wrong = (high - exact).max(exact - low) as f64;
        assert!(
            wrong <= 1.0 || wrong <= 0.125 * exact as f64,
            "{exact}: [{low}, {high})"
        );
    }
}

#[test]
fn every_quantile_is_within_an_eighth() {
    let shapes: [fn(f64) -> f64; 5] = [
        |x| 20_000.0 + 500.0 * x,
        |x| 60_000.0 * x,
        |x| -1_000.0 * (1.0 - x).ln(),
        |x| (1.0 / (1.0 - x)).powf(1.5),
        |x| if x < 0.9 { 300.0 } else { 80_000.0 },
    ];
    for shape in shapes {
        let values: Vec<u64> = evenly(20_011).map(|x| shape(x) as u64).collect();
        close(&values, TIME_BITS);
    }
    let sizes: Vec<u64> = evenly(20_011).map(|x| (x * 1452.0) as u64).collect();
    close(&sizes, SIZE_BITS);
}
