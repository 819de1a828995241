//! `StoqTransport` and `StoqNode` of the group `stoq.io`: the API types, their validation rules, the
//! generated YAML, and the parsed forms that the agent and the operator work with.
//!
//! | step | in | out |
//! |---|---|---|
//! | [`read_objects`] | the text of a standalone YAML file | [`Object`]s, or [`Refused`] with document, field and reason |
//! | [`Transport::parse`], [`Pod::parse`] | API objects | plain structs that cannot be invalid, or [`Invalid`] |
//! | [`resolve_conflicts`] | all transports and pods | the transports that lost an endpoint to an older one |
//!
//! The types under [`api`] tolerate unknown fields, so that an agent keeps reading objects of a
//! newer API; files are read strictly, as `kubectl` would send them.
//!
//! # Immutable fields
//!
//! `spec.podSelector` is immutable. Of two transports on one endpoint the older wins, so a claim
//! must not be aimed at other pods while it keeps its age; and the counters under a transport's
//! name keep meaning the same workload. To move without a gap, create the second transport, then
//! delete the first. Everything else takes effect in place. A file that was replaced is a new
//! object and has no past to compare with, so this one rule holds on API servers only.
#![forbid(unsafe_code)]

pub mod api;
mod conflict;
mod duration;
mod file;
mod invalid;
pub mod node_addresses;
mod object_name;
mod pod;
mod reason;
mod rules;
mod selector;
mod transport;

pub use api::{FilterMode, Policy, Protocol, StoqNode, StoqTransport, Tier, TrafficPolicy};
pub use conflict::{Conflict, resolve_conflicts};
pub use file::{Fault, Kind, Object, Refused, read_objects};
pub use invalid::{Invalid, Violation};
pub use k8s_openapi::jiff::Timestamp;
pub use object_name::ObjectName;
pub use pod::{HostPort, Phase, Pod};
pub use reason::{ConditionType, Reason};
pub use selector::{Requirement, Selector};
pub use transport::{
    Acceleration, Filter, FrontEnd, FrontEndAddress, Limits, PerSource, Port, QuicChecks,
    Transport, Unestablished, XdpModes,
};
