//! `StoqNode`: what one node can do, does, and why not more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TrafficSnapshot;
use crate::rules;

/// What an admin may ask of the agent of one node.
#[derive(
    Clone, CustomResource, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize,
)]
#[kube(
    group = "stoq.io",
    version = "v1alpha1",
    kind = "StoqNode",
    shortname = "stqn",
    category = "stoq",
    status = "StoqNodeStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "What STOQ can do and does on the node of this name. Its agent makes it.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.summary.mode"),
    printcolumn(
        name = "Transports",
        type_ = "string",
        json_path = ".status.summary.transports"
    ),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.summary.pods"),
    printcolumn(name = "AF_XDP", type_ = "string", json_path = ".status.summary.afXdp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused"),
    printcolumn(
        name = "Kernel",
        type_ = "string",
        json_path = ".status.kernel",
        priority = 1
    ),
    printcolumn(
        name = "Agent",
        type_ = "string",
        json_path = ".status.agentVersion",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
// Each column has a type of its own; clippy takes them for one attribute.
#[allow(clippy::duplicated_attributes)]
#[serde(rename_all = "camelCase", default)]
pub struct StoqNodeSpec {
    /// The kill switch: true detaches everything of STOQ from this node, traffic flows as without it.
    pub paused: bool,
}

/// What the agent of the node says.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoqNodeStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the agent last wrote: at every change, and at least every 60 s. Silent for three times that long,
    /// what it said is no longer believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Time>,
    /// Version of the agent.
    pub agent_version: String,
    /// Release of the kernel, as uname gives it.
    pub kernel: String,
    /// Ready.
    #[schemars(
        length(max = 8),
        extend(
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["type"]
        )
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The columns of kubectl get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<NodeSummary>,
    /// What the kernel of the node allows, each found by doing it.
    #[schemars(length(max = rules::MAX_GATES))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<NodeGate>,
    /// Uplinks. Host sides of pods are counted with their transports.
    #[schemars(length(max = rules::MAX_INTERFACES))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<NodeInterface>,
    /// Transports with pods or front ends on this node, by namespace and name.
    #[schemars(length(max = rules::MAX_NODE_TRANSPORTS))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<NodeTransport>,
    /// What is wrong with the node as a whole, a line each.
    #[schemars(length(max = 8), inner(length(max = rules::MAX_MESSAGE)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The columns of kubectl get.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSummary {
    /// The lowest rung in force for any transport; None without any.
    pub mode: String,
    /// Ready transports of all, as in 3/3.
    pub transports: String,
    /// Selected pods.
    pub pods: i64,
    /// Whether pods can have AF_XDP sockets: Available, Unavailable or Unknown.
    pub af_xdp: String,
}

/// Whether something can be had.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum GateState {
    /// It was done.
    Available,
    /// It was refused.
    Unavailable,
    /// It could not be found out.
    Unknown,
}

/// Something that the node can or can't do.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct NodeGate {
    /// Stable name.
    pub name: String,
    /// Whether it can be had.
    pub state: GateState,
    /// Stable reason; absent if it is available.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The kernel's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = rules::MAX_MESSAGE))]
    pub message: String,
}

/// An uplink.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInterface {
    /// Name.
    pub name: String,
    /// Its driver, as ethtool names it; empty if it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// MTU, bytes.
    pub mtu: i64,
    /// Receive queues; absent if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<i64>,
    /// Programs of STOQ on it.
    #[schemars(length(max = 8))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<NodeProgram>,
    /// Why a preferred rung is not in force; stable reason, absent if it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for a person, with the kernel's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = rules::MAX_MESSAGE))]
    pub message: String,
}

/// An attached program.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeProgram {
    /// Hook: xdp, tcx-ingress, tcx-egress, clsact-ingress or clsact-egress.
    pub hook: String,
    /// Rung: Native, Generic, Tcx or Clsact.
    pub mode: String,
    /// The kernel's id of the program.
    pub program_id: i64,
    /// Since when the agent has seen this program there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A transport on the node.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTransport {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Generation of the spec in force.
    pub generation: i64,
    /// Selected pods of this node.
    pub pods: i64,
    /// Whether everything that it requires is in force.
    pub ready: bool,
    /// Whether it is on a lower rung than it prefers.
    pub degraded: bool,
    /// Rung in force: Native, Generic, Tcx, Clsact or None.
    pub mode: String,
    /// Stable reason of the mode.
    pub reason: String,
    /// The same for a person, with the kernel's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = rules::MAX_MESSAGE))]
    pub message: String,
    /// Since when mode and reason are so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Endpoints whose packets go to an AF_XDP socket.
    pub af_xdp: i64,
    /// A sample of the traffic, taken at least every 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficSnapshot>,
}
