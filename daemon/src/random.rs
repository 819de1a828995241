//! Chance, so that what many processes do at a time they do not do in step.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// A number from `low` to `high`. At random enough for that, and for nothing secret.
pub fn between(low: f64, high: f64) -> f64 {
    let random = RandomState::new().build_hasher().finish();
    low + (high - low) * (random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_within_their_bounds_and_differ() {
        let some: Vec<_> = (0..100).map(|_| between(2.0, 3.0)).collect();
        assert!(some.iter().all(|one| (2.0..=3.0).contains(one)), "{some:?}");
        assert!(some.iter().any(|one| *one != some[0]), "{some:?}");
    }
}
