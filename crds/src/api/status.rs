//! What STOQ reports back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// What is really in force, summed over the nodes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoqTransportStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Ready and Degraded.
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Ways into the cluster that lead to the selected pods.
    #[schemars(length(max = rules::MAX_FRONT_ENDS))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub front_ends: Vec<FrontEnd>,
    /// Nodes by what they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// Selected pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<i64>,
    /// The columns of kubectl get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<StatusSummary>,
    /// A sample of the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficSnapshot>,
    /// Nodes that do less than was asked for, worst first.
    #[schemars(length(max = 10))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<NodeFailure>,
}

/// A way into the cluster that leads to selected pods.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rules::FRONT_END_IP]))]
pub struct FrontEnd {
    /// Whether it is one address, or a port on every node.
    #[serde(rename = "type")]
    pub kind: FrontEndType,
    /// The address; absent for NodePort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// UDP port at the front end, 1..65535.
    #[schemars(extend("x-kubernetes-validations" = [rules::PORT]))]
    pub port: i64,
    /// UDP port of the pods that it leads to, 1..65535.
    #[schemars(extend("x-kubernetes-validations" = [rules::PORT]))]
    pub target_port: i64,
    /// Which nodes send traffic on to which pods.
    pub traffic_policy: TrafficPolicy,
}

/// Whether a front end is one address, or a port on every node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum FrontEndType {
    /// A port on every node.
    NodePort,
    /// A load balancer's or an external address.
    Address,
}

/// A Service's externalTrafficPolicy.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum TrafficPolicy {
    /// Only pods of the receiving node.
    Local,
    /// Pods of any node; the source may be masqueraded.
    Cluster,
}

/// Nodes by what they do.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Nodes with selected pods or front ends.
    pub desired: i64,
    /// Nodes that do what was required.
    pub ready: i64,
    /// Nodes in native XDP.
    pub native: i64,
    /// Nodes in generic XDP.
    pub generic: i64,
    /// Nodes on TCX.
    pub tcx: i64,
    /// Nodes on clsact.
    pub clsact: i64,
    /// Nodes with nothing attached.
    pub none: i64,
    /// Nodes that feed AF_XDP sockets.
    pub af_xdp: i64,
}

/// The columns of kubectl get.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct StatusSummary {
    /// Ready nodes of desired nodes, as in 3/3.
    pub nodes: String,
    /// The lowest rung in force on any node; Unknown where no node says.
    pub mode: String,
}

/// A sample of the traffic of the last minute. Times are durations with a unit, as in 1.25ms; over
/// several nodes each is that of the node where it is longest. Absent where nothing was measured.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficSnapshot {
    /// Packets in both directions.
    pub packets_per_second: i64,
    /// Bits in both directions.
    pub bits_per_second: i64,
    /// Packets dropped by the guard.
    pub dropped_per_second: i64,
    /// Established QUIC connections.
    pub connections: i64,
    /// Median handshake time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_p50: Option<String>,
    /// 99th percentile of the handshake time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_p99: Option<String>,
    /// Median round-trip time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_p50: Option<String>,
    /// 95th percentile of the round-trip time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_p95: Option<String>,
    /// 99th percentile of the round-trip time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_p99: Option<String>,
    /// When the sample was taken.
    pub sampled_at: Time,
}

/// A node that does less than was asked for.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct NodeFailure {
    /// Name of the node.
    pub node: String,
    /// Stable reason.
    pub reason: String,
    /// The kernel's own words, where there are any.
    pub message: String,
    /// Since when.
    pub since: Time,
}
