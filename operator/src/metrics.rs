//! The operator's own metrics, by the conventions of controllers.

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use stoq_daemon::Process;

/// The metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    seconds: Histogram,
    writes: IntCounterVec,
    /// Transports whose status waits.
    pub(crate) queue: IntGauge,
    /// 1 while this one leads.
    pub(crate) leader: IntGauge,
    cpu: Gauge,
    resident: IntGauge,
    open_fds: IntGauge,
    started: Gauge,
}

impl Metrics {
    /// All at nothing.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let new = Self {
            registry: Registry::new(),
            reconciles: counters(
                "reconciles_total",
                "Statuses worked out, by result.",
                "result",
            )?,
            errors: counters("reconcile_errors_total", "Steps that went wrong.", "step")?,
            seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "stoq_operator_reconcile_seconds",
                    "Time to work out the status of one transport.",
                )
                .buckets(prometheus::exponential_buckets(0.00001, 4.0, 9)?),
            )?,
            writes: counters("writes_total", "Writes to the API server, by kind.", "kind")?,
            queue: gauge(
                "stoq_operator_queue_depth",
                "Transports whose status waits to be looked at or written.",
            )?,
            leader: gauge(
                "stoq_operator_leader",
                "1 while this one leads: it alone writes.",
            )?,
            cpu: Gauge::new("process_cpu_seconds_total", "User and system CPU time.")?,
            resident: gauge("process_resident_memory_bytes", "Resident memory.")?,
            open_fds: gauge("process_open_fds", "Open file descriptors.")?,
            started: Gauge::new(
                "process_start_time_seconds",
                "When it started, seconds since 1970.",
            )?,
        };
        new.register()?;
        Ok(new)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let build = IntGaugeVec::new(
            Opts::new("stoq_build_info", "The operator's version: 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let collectors: [Box<dyn prometheus::core::Collector>; 11] = [
            Box::new(build),
            Box::new(self.reconciles.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.writes.clone()),
            Box::new(self.queue.clone()),
            Box::new(self.leader.clone()),
            Box::new(self.cpu.clone()),
            Box::new(self.resident.clone()),
            Box::new(self.open_fds.clone()),
            Box::new(self.started.clone()),
        ];
        collectors
            .into_iter()
            .try_for_each(|one| self.registry.register(one))
    }

    /// A status was worked out: `unchanged`, or `changed` so that it is to be written.
    pub(crate) fn reconciled(&self, took: Duration, changed: bool) {
        let result = if changed { "changed" } else { "unchanged" };
        self.reconciles.with_label_values(&[result]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A step went wrong.
    pub(crate) fn failed(&self, step: &str) {
        self.errors.with_label_values(&[step]).inc();
    }

    /// Something was sent to the API server.
    pub(crate) fn wrote(&self, kind: &str) {
        self.writes.with_label_values(&[kind]).inc();
    }

    /// The page.
    pub(crate) fn render(&self) -> Result<String, String> {
        if let Some(process) = Process::read() {
            self.cpu.set(process.cpu.as_secs_f64());
            self.resident.set(process.resident as i64);
            self.open_fds.set(process.open_fds as i64);
            self.started.set(process.started.as_secs_f64());
        }
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .map_err(|error| error.to_string())
    }
}

fn counters(name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(format!("stoq_operator_{name}"), help), &[label])
}

fn gauge(name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    IntGauge::new(name, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_what_happened() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled(Duration::from_millis(1), true);
        metrics.failed("status");
        metrics.wrote("status");
        metrics.leader.set(1);
        let page = metrics.render().unwrap();
        for line in [
            "stoq_operator_reconciles_total{result=\"changed\"} 1",
            "stoq_operator_reconcile_errors_total{step=\"status\"} 1",
            "stoq_operator_writes_total{kind=\"status\"} 1",
            "stoq_operator_reconcile_seconds_count 1",
            "stoq_operator_leader 1",
            "stoq_operator_queue_depth 0",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }
}
