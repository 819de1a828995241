//! What a user asks for.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, StoqTransportStatus};
use crate::rules;

mod filter;

pub use filter::{
    Cidr, FilterMode, FilterSpec, LimitsSpec, PerSourceSpec, QuicSpec, UnestablishedSpec,
};

/// Which pods and UDP ports STOQ looks after, and how.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "stoq.io",
    version = "v1alpha1",
    kind = "StoqTransport",
    namespaced,
    shortname = "stq",
    category = "stoq",
    status = "StoqTransportStatus",
    derive = "PartialEq",
    doc = "Guards, observes and accelerates the QUIC and UDP ports of pods.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.summary.mode"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.summary.nodes"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Degraded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Degraded')].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
// Each column has a type of its own; clippy takes them for one attribute.
#[allow(clippy::duplicated_attributes)]
#[serde(rename_all = "camelCase")]
pub struct StoqTransportSpec {
    /// Pods of this namespace that the transport is about; {} selects all of them. Immutable.
    #[schemars(extend("x-kubernetes-validations" = [rules::IMMUTABLE_SELECTOR]))]
    pub pod_selector: LabelSelector,
    /// UDP ports of the pods.
    #[schemars(
        length(min = 1, max = rules::MAX_PORTS),
        extend("x-kubernetes-validations" = [rules::UNIQUE_PORTS])
    )]
    pub ports: Vec<PortSpec>,
    /// How packets may travel.
    #[serde(default)]
    pub acceleration: AccelerationSpec,
    /// Which packets are dropped.
    #[serde(default)]
    pub filter: FilterSpec,
    /// What is measured.
    #[serde(default)]
    pub metrics: MetricsSpec,
}

/// One UDP port.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct PortSpec {
    /// UDP port number on the pod, 1..65535.
    #[schemars(extend("x-kubernetes-validations" = [rules::PORT]))]
    pub port: i64,
    /// What is spoken there: QUIC or any other protocol over UDP.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// QUIC, so that its packets are checked and its connections counted.
    #[default]
    Quic,
    /// Anything over UDP.
    Udp,
}

/// How packets may travel.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccelerationSpec {
    /// Decide on packets in XDP on the uplink.
    pub xdp: Policy,
    /// Kinds of XDP that will do.
    #[schemars(
        length(min = 1, max = 2),
        extend("x-kubernetes-validations" = [rules::UNIQUE_MODES])
    )]
    pub xdp_modes: Vec<XdpMode>,
    /// Hand packets to AF_XDP sockets of pods that ask the broker for one.
    pub af_xdp: Policy,
    /// Let the NIC write into a pod's memory; needs a whole queue of the NIC.
    pub zero_copy: Policy,
    /// How long a flow may bypass the kernel's path before a packet walks it again, 100ms..60s.
    #[schemars(
        length(max = 28),
        extend("x-kubernetes-validations" = [rules::READMIT_AFTER])
    )]
    pub readmit_after: String,
}

impl Default for AccelerationSpec {
    fn default() -> Self {
        Self {
            xdp: Policy::Prefer,
            xdp_modes: vec![XdpMode::Native],
            af_xdp: Policy::Prefer,
            zero_copy: Policy::Disabled,
            readmit_after: "1s".into(),
        }
    }
}

/// How much a capability is wanted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Policy {
    /// Without it the transport is not Ready; traffic flows all the same.
    Require,
    /// Without it the transport is Degraded.
    Prefer,
    /// Not used.
    Disabled,
}

/// Where XDP runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack: works on any interface, costs more.
    Generic,
}

/// What is measured.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct MetricsSpec {
    /// How fine the metrics are.
    pub tier: Tier,
}

/// How fine the metrics are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Tier {
    /// One set per node.
    Node,
    /// One set per transport.
    #[default]
    Transport,
    /// One set per transport and pod.
    Pod,
}
