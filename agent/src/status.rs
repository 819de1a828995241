//! What the agent says of itself: the content of `status.json`, of
//! `stoq-agent status` and of the node's metrics. Plain data.

use serde::{Deserialize, Serialize};
use stoq_crds::Timestamp;

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the agent.
    pub agent_version: String,
    /// Release of the kernel, as uname gives it.
    pub kernel: String,
    /// The agent's process; 0: not known.
    #[serde(default)]
    pub pid: u32,
    /// Since when all this is so: RFC 3339 in UTC, whole seconds.
    #[serde(default)]
    pub updated_at: String,
    /// What the node can do.
    pub gates: Vec<GateStatus>,
    /// Uplinks and host sides of pods, by name.
    pub interfaces: Vec<InterfaceStatus>,
    /// Transports, by namespace and name.
    pub transports: Vec<TransportStatus>,
    /// What is wrong: refused objects, missing uplinks, failed steps. One line
    /// each.
    pub problems: Vec<String>,
    /// Whether nothing is to be in force on this node.
    #[serde(default)]
    pub paused: bool,
    /// Generation of the StoqNode that says so; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_generation: Option<i64>,
}

impl Status {
    /// It, as the process of this id says it at `now`; if that one said the same `before`, since
    /// then.
    #[must_use]
    pub fn said(self, pid: u32, before: &Self, now: Timestamp) -> Self {
        let updated_at = before.updated_at.clone();
        let said = Self {
            pid,
            updated_at,
            ..self
        };
        if said == *before {
            return said;
        }
        Self {
            updated_at: format!("{now:.0}"),
            ..said
        }
    }
}

/// A capability of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Stable name.
    pub name: String,
    /// The interface it is about; empty: the node.
    pub interface: String,
    /// `Available`, `Unavailable` or `Unknown`.
    pub state: String,
    /// Stable reason, empty if it is available.
    pub reason: String,
    /// The kernel's words.
    pub message: String,
}

/// An interface STOQ has, or wants to have, programs on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStatus {
    /// Name.
    pub name: String,
    /// `uplink` or `pod`.
    pub role: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Attached programs.
    pub attached: Vec<AttachedStatus>,
    /// Why a preferred rung is not in force; stable reason, empty if it is.
    pub reason: String,
    /// The same for a person, with the kernel's words.
    pub message: String,
}

/// One attached program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedStatus {
    /// Name of the program.
    pub program: String,
    /// Hook: `xdp`, `tcx-ingress`, `tcx-egress`, `clsact-ingress`, `clsact-egress`.
    pub hook: String,
    /// Rung: `Native`, `Generic`, `Tcx`, `Clsact`.
    pub mode: String,
    /// The kernel's id of the program.
    pub program_id: u32,
}

/// A transport on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportStatus {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Generation of the spec in force; 0: not known.
    #[serde(default)]
    pub generation: i64,
    /// Whether it takes part; false: `reason` and `message` say why not.
    pub accepted: bool,
    /// Whether everything it requires is in force.
    pub ready: bool,
    /// Whether it is on a lower rung than it prefers.
    pub degraded: bool,
    /// Rung in force: `Native`, `Generic`, `Tcx`, `Clsact`, `None`.
    pub mode: String,
    /// Stable reason of the mode.
    pub reason: String,
    /// The same for a person.
    pub message: String,
    /// Index of its policy and counters in the maps.
    pub index: Option<u32>,
    /// Counter slots: its own, and with the tier `Pod` its endpoints'.
    pub slots: Vec<u32>,
    /// `Node`, `Transport` or `Pod`.
    pub tier: String,
    /// Selected pods of this node.
    pub pods: Vec<PodStatus>,
    /// Addresses and ports of this node, or of a load balancer, that lead to its pods.
    #[serde(default)]
    pub front_ends: u32,
    /// What its pods have of AF_XDP.
    #[serde(default)]
    pub af_xdp: AfXdpStatus,
}

/// What a transport's pods have of AF_XDP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AfXdpStatus {
    /// Endpoints of theirs that have asked for a socket and have a relay.
    pub relays: u32,
    /// Those of them whose packets go to the socket.
    pub steered: u32,
    /// Why a pod that asks would get none, for some endpoint; empty if it would.
    pub message: String,
}

/// A selected pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Namespace and name.
    pub name: String,
    /// Addresses.
    pub ips: Vec<String>,
    /// Where it is guarded and observed: interface name, empty if nowhere.
    pub interface: String,
    /// `pod`, `uplink` (hostNetwork), `uplink-bypass` or empty.
    pub place: String,
    /// Why it is not guarded at its own interface, if it is not.
    pub message: String,
    /// Counter slots of its endpoints with tier `Pod`.
    pub slots: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_keep_their_time() {
        let [first, second] = [10, 20].map(|second| Timestamp::from_second(second).unwrap());
        let of = |kernel: &str| Status {
            kernel: kernel.to_owned(),
            ..Status::default()
        };
        let before = of("6.18").said(7, &Status::default(), first);
        assert_eq!(
            (before.pid, &*before.updated_at),
            (7, "1970-01-01T00:00:10Z")
        );
        for (case, kernel, pid, updated_at) in [
            ("the same", "6.18", 7, "1970-01-01T00:00:10Z"),
            ("news", "6.19", 7, "1970-01-01T00:00:20Z"),
            ("another process", "6.18", 8, "1970-01-01T00:00:20Z"),
        ] {
            let after = of(kernel).said(pid, &before, second);
            assert_eq!(after.updated_at, updated_at, "{case}");
        }
    }
}
