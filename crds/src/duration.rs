//! Durations as the Gateway API writes them (GEP-2257): `100ms`, `1s`, `1m30s`.

use std::time::Duration;

const MAX_TERMS: usize = 4;
const MAX_DIGITS: usize = 5;

/// Sums the terms of `text`; `None` if it is not a duration.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    for _ in 0..MAX_TERMS {
        let (term, tail) = take_term(rest)?;
        sum += term;
        rest = tail;
        if rest.is_empty() {
            return Some(sum);
        }
    }
    None
}

fn take_term(text: &str) -> Option<(Duration, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if digits > MAX_DIGITS {
        return None;
    }
    let (unit, rest) = take_unit(rest)?;
    let millis = number.parse::<u64>().ok()? * unit;
    Some((Duration::from_millis(millis), rest))
}

/// Milliseconds of the unit that `text` begins with. `ms` goes first: `m` is its prefix.
fn take_unit(text: &str) -> Option<(u64, &str)> {
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(name, millis)| Some((millis, text.strip_prefix(name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_terms() {
        for (text, millis) in [
            ("0s", 0),
            ("100ms", 100),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("1h1m1s1ms", 3_661_001),
            ("1s1s", 2_000),
            ("99999ms", 99_999),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "1",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1us",
            "100000ms",
            "1s1s1s1s1s",
            "1S",
            "١s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
