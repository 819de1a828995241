use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::registry::{Family, Kind};

/// Names and values, in the order they are shown.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Samples, by family. They are put together from numbers that are counted elsewhere, so there is nothing of
/// `prometheus` but its model and its encoder.
#[derive(Default)]
pub(super) struct Families(BTreeMap<&'static str, MetricFamily>);

impl Families {
    /// Adds one sample. `values` belong to the family's labels, in their order; `scope` comes before them.
    pub(super) fn number(&mut self, family: &Family, scope: &Labels, values: &[&str], value: f64) {
        let mut metric = metric(family, scope, values);
        if family.kind == Kind::Counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.push(family, metric);
    }

    /// Adds one histogram.
    pub(super) fn histogram(&mut self, family: &Family, scope: &Labels, histogram: Histogram) {
        let mut metric = metric(family, scope, &[]);
        metric.set_histogram(histogram);
        self.push(family, metric);
    }

    /// All of them in the text format, by name.
    pub(super) fn encode(self) -> String {
        let families: Vec<_> = self.0.into_values().collect();
        // The encoder refuses only families without a sample, and there are none.
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| format!("# {error}\n"))
    }

    fn push(&mut self, family: &Family, metric: Metric) {
        let samples = self.0.entry(family.name);
        let samples = samples.or_insert_with(|| empty(family));
        samples.mut_metric().push(metric);
    }
}

fn empty(family: &Family) -> MetricFamily {
    let mut empty = MetricFamily::default();
    empty.set_name(family.name.to_owned());
    empty.set_help(family.help.to_owned());
    empty.set_field_type(match family.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    empty
}

fn metric(family: &Family, scope: &Labels, values: &[&str]) -> Metric {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    let scope = scope.iter().map(|(name, value)| pair(name, value));
    let own = family.labels.iter().zip(values);
    let own = own.map(|(name, value)| pair(name, value));
    Metric::from_label(scope.chain(own).collect())
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
