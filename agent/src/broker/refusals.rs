//! Refusals in the log: a line a second for each reason, however often somebody asks. Metrics count all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stoq_ebpf::broker::Reason;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// When there was a line last, and how many there would have been since.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Reason, (Instant, u64)>);

impl Refusals {
    /// Whether this one has a line: then how many before it had none.
    pub(super) fn line(&mut self, reason: Reason, now: Instant) -> Option<u64> {
        let Some((last, left_out)) = self.0.get_mut(&reason) else {
            self.0.insert(reason, (now, 0));
            return Some(0);
        };
        if now < *last + PAUSE {
            *left_out += 1;
            return None;
        }
        *last = now;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_line_a_second_that_tells_of_the_others() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        for (reason, after, expected) in [
            (Reason::Busy, 0, Some(0)),
            (Reason::Busy, 0, None),
            (Reason::NotYours, 10, Some(0)),
            (Reason::Busy, 999, None),
            (Reason::Busy, 1000, Some(2)),
            (Reason::Busy, 1999, None),
            (Reason::NotYours, 5000, Some(0)),
            (Reason::Busy, 5000, Some(1)),
        ] {
            let now = start + Duration::from_millis(after);
            let line = refusals.line(reason, now);
            assert_eq!(line, expected, "{reason:?} after {after} ms");
        }
    }
}
