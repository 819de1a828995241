//! Log-linear histograms: eight equal buckets per power of two, so that any
//! quantile read from one is within 12.5 % of the value it stands for.

/// Buckets per power of two, as a power of two itself.
const SUB_BITS: u32 = 3;
const SUB: u64 = 1 << SUB_BITS;

/// Buckets that hold values below 2^`bits`.
pub const fn buckets(bits: u32) -> usize {
    ((bits - SUB_BITS) as u64 * SUB + SUB) as usize
}

/// Bits of a datagram's size in bytes: 64 KiB and no more.
pub const SIZE_BITS: u32 = 16;
/// Bits of a duration in microseconds: 67 s, and longer ones count as that.
pub const TIME_BITS: u32 = 26;
/// Buckets of a size histogram.
pub const SIZE_BUCKETS: usize = buckets(SIZE_BITS);
/// Buckets of a duration histogram.
pub const TIME_BUCKETS: usize = buckets(TIME_BITS);

/// The bucket of `value`; values of 2^`bits` and more fall into the last one.
#[inline(always)]
pub const fn index(value: u64, bits: u32) -> usize {
    if value < SUB {
        return value as usize;
    }
    if value >> bits != 0 {
        return buckets(bits) - 1;
    }
    let shift = magnitude(value) - SUB_BITS;
    ((shift as u64 + 1) * SUB + ((value >> shift) & (SUB - 1))) as usize
}

/// The smallest value above bucket `index`: its exclusive upper bound.
pub const fn upper_bound(index: usize) -> u64 {
    let next = index as u64 + 1;
    if next <= SUB {
        return next;
    }
    let shift = next / SUB - 1;
    (SUB + next % SUB) << shift
}

/// Position of the highest set bit. BPF has no instruction for it, and this
/// is cheaper there than the general expansion.
#[inline(always)]
const fn magnitude(value: u64) -> u32 {
    let mut value = value;
    let mut bit = 0;
    if value >> 16 != 0 {
        value >>= 16;
        bit += 16;
    }
    if value >> 8 != 0 {
        value >>= 8;
        bit += 8;
    }
    if value >> 4 != 0 {
        value >>= 4;
        bit += 4;
    }
    if value >> 2 != 0 {
        value >>= 2;
        bit += 2;
    }
    bit + (value >> 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        for value in (0..70_000).chain((17..26).map(|bit| (1 << bit) - 1)) {
            let at = index(value, TIME_BITS);
            let low = if at == 0 { 0 } else { upper_bound(at - 1) };
            let high = upper_bound(at);
            assert!(low <= value && value < high, "{value} in [{low}, {high})");
            assert!(
                (high - low) * 8 <= low.max(8),
                "[{low}, {high}) is too wide"
            );
        }
    }

    #[test]
    fn what_is_too_large_counts_in_the_last_bucket() {
        assert_eq!(index(1 << SIZE_BITS, SIZE_BITS), SIZE_BUCKETS - 1);
        assert_eq!(index((1 << SIZE_BITS) - 1, SIZE_BITS), SIZE_BUCKETS - 1);
        assert_eq!(index(u64::MAX, TIME_BITS), TIME_BUCKETS - 1);
    }
}
