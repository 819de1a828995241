//! Times as a traffic snapshot writes them: `1.25ms`.

use std::time::Duration;

/// Longest first: `s` ends the others too.
const UNITS: [(&str, f64); 5] = [
    ("ms", 1e6),
    ("us", 1e3),
    ("µs", 1e3),
    ("ns", 1.0),
    ("s", 1e9),
];

/// Reads it; `None` if it is no time.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit = |(name, nanos): (&str, f64)| Some((text.strip_suffix(name)?, nanos));
    let (number, nanos) = UNITS.into_iter().find_map(unit)?;
    let value = number.parse::<f64>().ok()? * nanos;
    // Nobody waits longer than a year for an answer.
    (0.0..3e16)
        .contains(&value)
        .then(|| Duration::from_nanos(value.round() as u64))
}

/// Writes it.
pub(crate) fn show(time: Duration) -> String {
    format!("{time:?}").replace('µ', "u")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_back() {
        for text in ["1.25ms", "843us", "12ns", "3.5s", "0ns"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("7µs"), Some(Duration::from_micros(7)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "ms", "1", "-1s", "1e99s", "NaNs", "infs", "1 ms"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
