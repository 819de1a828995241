//! Which packets are dropped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// Which packets are dropped.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct FilterSpec {
    /// Whether verdicts are carried out. Quote 'Off': kubectl reads the bare word as false.
    pub mode: FilterMode,
    /// Where any are named, sources of no other address pass.
    #[schemars(length(max = rules::MAX_CIDRS))]
    pub allow: Vec<Cidr>,
    /// Sources whose packets are dropped, even those that allow names.
    #[schemars(length(max = rules::MAX_CIDRS))]
    pub deny: Vec<Cidr>,
    /// Checks for ports that speak QUIC.
    pub quic: QuicSpec,
    /// Rates above which packets are dropped; absent means no limit.
    pub limits: LimitsSpec,
}

/// Whether verdicts are carried out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum FilterMode {
    /// Bad packets are dropped.
    Enforce,
    /// Bad packets are counted and pass.
    #[default]
    Monitor,
    /// Nothing is checked.
    Off,
}

/// An IPv4 or IPv6 prefix such as 203.0.113.0/24.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
#[schemars(extend("maxLength" = 49, "x-kubernetes-validations" = [rules::CIDR]))]
pub struct Cidr(pub String);

/// Checks for ports that speak QUIC.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuicSpec {
    /// Drop first packets that no correct client sends.
    pub validate_initial: bool,
    /// Drop QUIC versions other than 1 and 2 instead of leaving them to the server.
    pub reject_unknown_versions: bool,
}

impl Default for QuicSpec {
    fn default() -> Self {
        Self {
            validate_initial: true,
            reject_unknown_versions: false,
        }
    }
}

/// Rates above which packets are dropped.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitsSpec {
    /// Limits for each source prefix by itself.
    pub per_source: PerSourceSpec,
    /// Limits shared by all sources for packets of no established flow.
    pub unestablished: UnestablishedSpec,
    /// Depth of each bucket in time at its rate, 100ms..10s.
    #[schemars(
        length(max = 28),
        extend("x-kubernetes-validations" = [rules::BURST])
    )]
    pub burst: String,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            per_source: PerSourceSpec::default(),
            unestablished: UnestablishedSpec::default(),
            burst: "1s".into(),
        }
    }
}

/// Limits for each source prefix by itself.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PerSourceSpec {
    /// Packets of any kind; absent means no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rules::RATE]))]
    pub packets_per_second: Option<i64>,
    /// QUIC Initials, which open connections; absent means no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rules::RATE]))]
    pub initials_per_second: Option<i64>,
    /// Length of the IPv4 prefix that counts as one source, 0..32.
    #[schemars(extend("x-kubernetes-validations" = [rules::PREFIX_V4]))]
    pub prefix_v4: i64,
    /// Length of the IPv6 prefix that counts as one source, 0..128.
    #[schemars(extend("x-kubernetes-validations" = [rules::PREFIX_V6]))]
    pub prefix_v6: i64,
    /// Load balancers and NATs, which stand for many clients.
    #[schemars(length(max = rules::MAX_CIDRS))]
    pub exempt: Vec<Cidr>,
}

impl Default for PerSourceSpec {
    fn default() -> Self {
        Self {
            packets_per_second: None,
            initials_per_second: None,
            prefix_v4: 32,
            prefix_v6: 64,
            exempt: Vec::new(),
        }
    }
}

/// Limits shared by all sources for packets of no established flow.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnestablishedSpec {
    /// Packets of any kind; absent means no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rules::RATE]))]
    pub packets_per_second: Option<i64>,
    /// QUIC Initials, which open connections; absent means no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rules::RATE]))]
    pub initials_per_second: Option<i64>,
}
