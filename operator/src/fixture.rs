//! What tests are made of.

use k8s_openapi::api::core::v1::Pod as ApiPod;
use serde::de::DeserializeOwned;
use stoq_crds::api::{StoqNode, StoqTransport};
use stoq_crds::{ObjectName, Timestamp, Transport};

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

pub(crate) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

pub(crate) fn name(text: &str) -> ObjectName {
    let (namespace, name) = text.split_once('/').unwrap();
    ObjectName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// A pod that runs on the node.
pub(crate) fn pod(name: &str, app: &str, node: &str) -> ApiPod {
    yaml(&format!(
        "metadata: {{name: {name}, namespace: d, labels: {{app: {app}}}}}\n\
         spec: {{nodeName: '{node}', containers: []}}\nstatus: {{phase: Running}}"
    ))
}

/// What the agent of a node said at this second.
pub(crate) fn report(node: &str, second: i64, transports: &str) -> StoqNode {
    yaml(&format!(
        "metadata: {{name: {node}}}\nspec: {{}}\n\
         status: {{reportedAt: '1970-01-01T00:{:02}:{:02}Z', transports: [{transports}]}}",
        second / 60,
        second % 60
    ))
}

/// That a transport is in force.
pub(crate) fn on(transport: &str) -> String {
    format!("{{namespace: d, name: {transport}, generation: 1, ready: true, mode: Native}}")
}
