//! Chance, for names and for not doing things in step.

use rustix::rand::{GetRandomFlags, getrandom};

/// Any number; where the kernel has none to give, always the same.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}

/// A number from `low` to `high`.
pub(crate) fn between(low: f64, high: f64) -> f64 {
    low + (high - low) * (number() as f64 / u64::MAX as f64)
}
