//! The labs of one way to the server: one with an agent, one without anything of STOQ.

use anyhow::{Context, Result};
use serde_json::json;

use super::backend::Backend;
use super::row::PathKind;
use crate::bench::node::PORT;
use crate::demo::agent::Agent;
use crate::{Lab, Netns, Pod, transport_yaml};

/// Both labs.
pub(super) struct Stage<'a> {
    plain: &'a Lab,
    guarded: &'a Lab,
    agent: Agent<'a>,
}

impl<'a> Stage<'a> {
    /// Starts the agent in the second lab.
    pub(super) fn start(path: PathKind, [plain, guarded]: &'a [Lab; 2]) -> Result<Self> {
        let policy = json!({"filter": {"mode": "Enforce"}});
        let transport = transport_yaml("edge", PORT, "QUIC", &policy);
        // Drivers of veth refuse native XDP on a larger MTU.
        let mode = if path.lab().mtu > 3506 {
            "Tcx"
        } else {
            "Native"
        };
        let agent = Agent::guarding(guarded, &transport, mode).context("the agent")?;
        Ok(Self {
            plain,
            guarded,
            agent,
        })
    }

    /// What the agent says of its uplink's mode.
    pub(super) fn agent_says(&self) -> Result<String> {
        self.agent.says()
    }

    /// Ends the agent.
    pub(super) fn end(self) -> Result<()> {
        self.agent.remove()
    }

    /// Where this one is measured.
    pub(super) fn lab(&self, backend: Backend) -> &'a Lab {
        if backend.is_guarded() {
            self.guarded
        } else {
            self.plain
        }
    }

    /// Where its server runs, and which pod that is.
    pub(super) fn server(&self, backend: Backend) -> (&'a Netns, Pod) {
        let lab = self.lab(backend);
        let pod = if backend.is_on_the_node() {
            Pod::HostNetwork
        } else {
            Pod::Routed
        };
        (lab.netns(pod), pod)
    }
}
