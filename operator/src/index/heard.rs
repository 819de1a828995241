//! When an agent was last heard of.

use std::time::Duration;

use stoq_crds::Timestamp;

use crate::report::Report;

/// A report, and when there was the last sign of life.
pub(super) struct Heard {
    pub(super) report: Report,
    /// By our clock, but for a report that was there before us.
    at: Timestamp,
    pub(super) silent: bool,
}

impl Heard {
    pub(super) fn new(
        report: Report,
        before: Option<&Self>,
        now: Timestamp,
        stale_after: Duration,
    ) -> Self {
        let at = match before {
            Some(before) if before.report.reported_at == report.reported_at => before.at,
            Some(_) => now,
            // Nobody was listening yet: its own clock has to do.
            None => report.reported_at.map_or(now, |at| at.min(now)),
        };
        let mut heard = Self {
            report,
            at,
            silent: false,
        };
        heard.silent = heard.is_stale(now, stale_after);
        heard
    }

    pub(super) fn is_stale(&self, now: Timestamp, stale_after: Duration) -> bool {
        now.duration_since(self.at).unsigned_abs() > stale_after && now > self.at
    }
}
