//! What pods may have of AF_XDP.

use stoq_ebpf::capability::{Gate, Reason, State};

use super::Agent;
use crate::broker::{Door, Offers, offers, uplinks};
use crate::device_plugin::health;
use crate::report::HeldSlots;

impl Agent {
    /// Tells the broker what is to be had, and lets pods ask once this agent has the node.
    pub(super) fn offer(&mut self) {
        let Some(active) = self.dataplane.active() else {
            self.broker.publish(Offers::default());
            return;
        };
        self.broker.publish(offers(
            &self.plan,
            active.hooks.held(),
            &active.relays,
            no_sockets(&self.gates),
        ));
        let seats = &self.plan.seats;
        self.watch.keep(|endpoint| seats.contains_key(endpoint));
        if !std::mem::replace(&mut self.listening, true) {
            self.listen();
        }
    }

    fn listen(&self) {
        // In a cluster a pod's socket tells who it is: there is none for all.
        match &self.device_plugin {
            Some(plugin) => plugin.open(),
            None if !self.standalone => {}
            None => drop(tokio::spawn(self.broker.listen(&self.run_dir, Door::Users))),
        }
    }

    /// Whether pods that ask for AF_XDP may come to this node; another agent's kubelet is its own affair.
    pub(super) fn tell_kubelet(&mut self, failed: Option<&(Reason, String)>) {
        let Some(plugin) = self.device_plugin.as_ref().filter(|_| !self.taken) else {
            return;
        };
        let nothing = HeldSlots::new();
        let active = self.dataplane.active();
        let held = active.map_or(&nothing, |active| active.hooks.held());
        let failure = failed.map(|(_, words)| words.as_str());
        let uplinks = uplinks(&self.plan, held);
        plugin.report(health(&self.gates, &uplinks, failure, self.plan.paused));
    }
}

/// Why no AF_XDP socket could be made and bound, if it was tried in vain.
fn no_sockets(gates: &[Gate]) -> Option<String> {
    let gate = gates.iter().find(|gate| gate.name == "af-xdp")?;
    match &gate.state {
        State::Unavailable { reason, message } => Some(format!("af-xdp: {reason}: {message}")),
        State::Available | State::Unknown { .. } => None,
    }
}
