//! `StoqTransport` and `StoqNode` as the API server stores them (`stoq.io/v1alpha1`).
//!
//! Numbers and texts are as wide here as JSON allows; [`crate::Transport::parse`] narrows them.

mod node;
mod selector;
mod spec;
mod status;

pub use node::{
    GateState, NodeGate, NodeInterface, NodeProgram, NodeSummary, NodeTransport, StoqNode,
    StoqNodeSpec, StoqNodeStatus,
};
pub use selector::{LabelSelector, LabelSelectorRequirement, Operator};
pub use spec::{
    AccelerationSpec, Cidr, FilterMode, FilterSpec, LimitsSpec, MetricsSpec, PerSourceSpec, Policy,
    PortSpec, Protocol, QuicSpec, StoqTransport, StoqTransportSpec, Tier, UnestablishedSpec,
    XdpMode,
};
pub use status::{
    FrontEnd, FrontEndType, NodeCounts, NodeFailure, StatusSummary, StoqTransportStatus,
    TrafficPolicy, TrafficSnapshot,
};
