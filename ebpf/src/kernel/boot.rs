use std::fs;

/// A number that nobody outside the machine knows, and the same until it boots: what the programs of one agent have put
/// in their tables, those of the next one find. 0 where the kernel tells none.
pub fn seed() -> u64 {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    of(&id)
}

/// The first half of an identifier of hexadecimal digits and hyphens.
fn of(id: &str) -> u64 {
    let digits = id.chars().filter_map(|digit| digit.to_digit(16));
    { digits.take(16) }.fold(0, |seed, digit| seed << 4 | u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_s_seed_is_half_of_its_identifier() {
        assert_eq!(
            of("01234567-89ab-cdef-0123-456789abcdef\n"),
            0x0123_4567_89ab_cdef
        );
        assert_eq!(of(""), 0);
        assert_eq!(seed(), seed());
    }
}
