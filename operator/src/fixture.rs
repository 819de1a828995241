//! What tests are made of.

use stoq_crds::api::StoqTransport;
use stoq_crds::{Timestamp, Transport};

use crate::report::Entry;
use crate::rung::Rung;

/// This many seconds after the beginning.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// All is well.
pub(crate) fn entry() -> Entry {
    Entry {
        transport: std::sync::Arc::new(transport("d/edge", 4433).name),
        generation: 1,
        ready: true,
        degraded: false,
        rung: Rung::Native,
        reason: "Native".into(),
        message: "".into(),
        since: None,
        af_xdp: false,
        traffic: None,
    }
}

/// A transport for the pods whose label `app` is its name.
pub(crate) fn object(name: &str, port: u16) -> StoqTransport {
    let (namespace, name) = name.split_once('/').unwrap();
    let yaml = format!(
        "apiVersion: stoq.io/v1alpha1\nkind: StoqTransport\n\
         metadata: {{name: {name}, namespace: {namespace}, generation: 1, uid: u-{name}}}\n\
         spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, ports: [{{port: {port}}}]}}"
    );
    serde_yaml::from_str(&yaml).unwrap()
}

pub(crate) fn transport(name: &str, port: u16) -> Transport {
    Transport::parse(&object(name, port)).unwrap()
}
