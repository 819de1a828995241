//! The numbers for a Prometheus registry.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use prometheus::core::Desc;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::{ConnectionMetrics, Metrics, Observer};
use crate::Backend;

/// A transport's numbers, collected whenever the registry is asked.
#[derive(Debug)]
pub struct Collector {
    observer: Observer,
    local: String,
    descriptions: Vec<Desc>,
}

/// What is shown: name, help, label, type.
struct Family {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    kind: MetricType,
}

const FAMILIES: [Family; 11] = [
    gauge(
        "stoq_transport_backend",
        "What packets are received by now: 1.",
        Some("backend"),
    ),
    counter(
        "stoq_transport_afxdp_packets_total",
        "Packets received by AF_XDP.",
        None,
    ),
    counter(
        "stoq_transport_afxdp_bytes_total",
        "Bytes received by AF_XDP, from the Ethernet header on.",
        None,
    ),
    counter(
        "stoq_transport_afxdp_dropped_total",
        "Packets lost at the AF_XDP socket.",
        Some("reason"),
    ),
    counter(
        "stoq_transport_udp_datagrams_total",
        "Datagrams received by UDP.",
        None,
    ),
    gauge(
        "stoq_transport_connections",
        "QUIC connections in use.",
        None,
    ),
    counter(
        "stoq_transport_sent_bytes_total",
        "Bytes of UDP payload sent.",
        None,
    ),
    counter(
        "stoq_transport_received_bytes_total",
        "Bytes of UDP payload received.",
        None,
    ),
    counter(
        "stoq_transport_sent_packets_total",
        "QUIC packets sent.",
        None,
    ),
    counter(
        "stoq_transport_lost_packets_total",
        "QUIC packets sent and lost.",
        None,
    ),
    gauge(
        "stoq_transport_rtt_seconds",
        "Smoothed round-trip times of the connections in use, by quantile.",
        Some("quantile"),
    ),
];

const fn gauge(name: &'static str, help: &'static str, label: Option<&'static str>) -> Family {
    let kind = MetricType::GAUGE;
    Family {
        name,
        help,
        label,
        kind,
    }
}

const fn counter(name: &'static str, help: &'static str, label: Option<&'static str>) -> Family {
    let kind = MetricType::COUNTER;
    Family {
        name,
        help,
        label,
        kind,
    }
}

impl Collector {
    pub(crate) fn new(observer: Observer, local: SocketAddr) -> Self {
        let local = local.to_string();
        let describe = |family: &Family| {
            let labels = family.label.map(str::to_owned).into_iter().collect();
            let constant = HashMap::from([("local".to_owned(), local.clone())]);
            // It refuses names that are none; these are.
            Desc::new(
                family.name.to_owned(),
                family.help.to_owned(),
                labels,
                constant,
            )
            .ok()
        };
        Self {
            descriptions: FAMILIES.iter().filter_map(describe).collect(),
            observer,
            local,
        }
    }

    fn family(&self, family: &Family, samples: Vec<(&str, f64)>) -> MetricFamily {
        let metrics = { samples.into_iter() }
            .map(|(value, number)| self.metric(family, value, number))
            .collect();
        let mut shown = MetricFamily::default();
        shown.set_name(family.name.to_owned());
        shown.set_help(family.help.to_owned());
        shown.set_field_type(family.kind);
        shown.set_metric(metrics);
        shown
    }

    fn metric(&self, family: &Family, value: &str, number: f64) -> Metric {
        let own = family.label.map(|name| pair(name, value));
        let labels = own.into_iter().chain([pair("local", &self.local)]);
        let mut metric = Metric::from_label(labels.collect());
        if family.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
        metric
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let samples = samples(&self.observer.metrics());
        let shown = FAMILIES.iter().zip(samples);
        shown
            .filter(|(_, samples)| !samples.is_empty())
            .map(|(family, samples)| self.family(family, samples))
            .collect()
    }
}

/// Those of each family, in the families' order: the label's value, if there is one, and the number.
fn samples(metrics: &Metrics) -> [Vec<(&'static str, f64)>; FAMILIES.len()] {
    let one = |number: u64| vec![("", number as f64)];
    let af_xdp = &metrics.af_xdp;
    let by_af_xdp = matches!(metrics.backend, Backend::AfXdp { .. });
    [
        vec![
            ("afxdp", f64::from(u8::from(by_af_xdp))),
            ("udp", f64::from(u8::from(!by_af_xdp))),
        ],
        one(af_xdp.packets),
        one(af_xdp.bytes),
        vec![
            ("unusable", af_xdp.unusable as f64),
            ("strange", af_xdp.strange as f64),
            ("no_frame", af_xdp.no_frame as f64),
            ("ring_full", af_xdp.ring_full as f64),
            ("kernel", af_xdp.dropped as f64),
        ],
        one(metrics.udp_datagrams),
        one(metrics.connections.len() as u64),
        one(metrics.total.sent_bytes),
        one(metrics.total.received_bytes),
        one(metrics.total.sent_packets),
        one(metrics.total.lost_packets),
        quantiles(&metrics.connections),
    ]
}

/// None without connections.
fn quantiles(connections: &[ConnectionMetrics]) -> Vec<(&'static str, f64)> {
    let mut times: Vec<Duration> = connections.iter().map(|one| one.rtt).collect();
    times.sort_unstable();
    let at = |(name, percent): (&'static str, usize)| {
        let rank = (times.len() * percent).div_ceil(100).checked_sub(1)?;
        Some((name, times.get(rank)?.as_secs_f64()))
    };
    [("0.5", 50), ("0.95", 95), ("0.99", 99)]
        .into_iter()
        .filter_map(at)
        .collect()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
