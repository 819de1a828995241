//! Chance, for names.

use rustix::rand::{GetRandomFlags, getrandom};

/// Any number; where the kernel has none to give, always the same.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}
