//! What the loop does: a pass, and looks in between.

mod look;
mod offer;
mod publish;

use std::path::PathBuf;
use std::time::Instant;

use stoq_ebpf::capability::{Gate, probe};
use stoq_ebpf::loader::Options;
use stoq_ebpf::tables::Applied;

use super::{RunOptions, Shared};
use crate::broker::Broker;
use crate::bypass::Ways;
use crate::dataplane::{Config, Dataplane, DataplaneError};
use crate::device_plugin::DevicePlugin;
use crate::node::NodeState;
use crate::objects::Objects;
use crate::plan::{Detours, Plan, Settings, plan};
use crate::relays::Watch;
use crate::sweep::Sweeper;

pub(super) struct Agent {
    settings: Settings,
    run_dir: PathBuf,
    kernel: String,
    bpffs: PathBuf,
    gates: Vec<Gate>,
    /// Whether the last pass failed.
    failing: bool,
    /// Whether another agent has the node.
    taken: bool,
    pub(super) dataplane: Dataplane,
    sweeper: Sweeper,
    shared: Shared,
    pub(super) plan: Plan,
    applied: Applied,
    ways: Ways,
    detours: Detours,
    pub(super) broker: Broker,
    watch: Watch,
    /// Whether there is no cluster.
    standalone: bool,
    /// Whether the broker listens.
    listening: bool,
    device_plugin: Option<DevicePlugin>,
}

impl Agent {
    pub(super) fn new(options: &RunOptions, shared: Shared) -> Self {
        let gates = probe(&options.bpffs).gates;
        let coarse_clock = gates
            .iter()
            .any(|gate| gate.name == "coarse-clock" && gate.is_available());
        for gate in gates.iter().filter(|gate| !gate.is_available()) {
            tracing::info!(gate = gate.name, state = ?gate.state, "closed gate");
        }
        let config = Config {
            bpffs: options.bpffs.clone(),
            load: Options {
                flows: options.flows,
                coarse_clock,
            },
            without_tcx: options.without_tcx,
        };
        let dataplane = Dataplane::new(config);
        let broker = Broker::new(dataplane.maps(), &options.run_dir, options.af_xdp);
        let device_plugin = options.kubelet.as_ref().map(|kubelet| {
            let count = u32::try_from(options.af_xdp.sessions).unwrap_or(u32::MAX);
            DevicePlugin::start(kubelet, &options.run_dir, count, broker.clone())
        });
        Self {
            broker,
            device_plugin,
            watch: Watch::default(),
            standalone: options.source.is_standalone(),
            listening: false,
            settings: Settings {
                uplinks: options.uplinks.clone(),
                node_ips: options.node_ips.clone(),
            },
            run_dir: options.run_dir.clone(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            bpffs: options.bpffs.clone(),
            gates,
            failing: false,
            taken: false,
            dataplane,
            sweeper: Sweeper::default(),
            shared,
            plan: Plan::default(),
            applied: Applied::default(),
            ways: Ways::default(),
            detours: Detours::default(),
        }
    }

    pub(super) fn pass(&mut self, node: &NodeState, objects: &Objects) {
        let began = Instant::now();
        self.look_at_relays();
        let prepared = self.prepare(node, objects);
        // A refused object may be one that an earlier agent had in force.
        let unsure = !objects.problems.is_empty() && !objects.paused;
        self.taken = false;
        let applied = prepared.and_then(|()| self.dataplane.apply(&self.plan, unsure));
        let failed = match applied {
            Ok(applied) => {
                self.applied = applied;
                None
            }
            Err(error) => {
                self.shared.lock().reconciles.fail(error.step());
                self.taken = error.is_taken();
                Some(error.refusal(&self.gates))
            }
        };
        if std::mem::replace(&mut self.failing, failed.is_some()) && failed.is_none() {
            // What was in the way is gone: what the gates said of it no longer holds.
            self.gates = probe(&self.bpffs).gates;
        }
        self.sweep();
        self.offer();
        self.tell_kubelet(failed.as_ref());
        self.publish(objects, failed, began);
    }

    /// Nothing is known to plan with: what is in force stays.
    pub(super) fn put_off(&mut self, why: String) {
        let mut latest = self.shared.lock();
        if latest.failure.as_ref() != Some(&why) {
            tracing::info!("{why}");
        }
        latest.failure = Some(why);
        latest.passed = Some(Instant::now());
    }

    /// Makes the plan. What an earlier agent has left of sessions is known once its maps are open.
    fn prepare(&mut self, node: &NodeState, objects: &Objects) -> Result<(), DataplaneError> {
        let plan = |wants| plan(node, objects, &self.settings, &self.detours, &wants);
        self.plan = plan(self.broker.wants());
        if self.plan.desired.transports.is_empty() || self.dataplane.active().is_some() {
            return Ok(());
        }
        let steered = self.dataplane.prepare()?;
        // Those of pods that have gone meanwhile are nobody's.
        let steered = steered.into_iter().filter(|(endpoint, owner)| {
            let seat = self.plan.seats.get(endpoint);
            seat.is_some_and(|seat| seat.owner == *owner)
        });
        let steered: Vec<_> = steered.map(|(endpoint, _)| endpoint).collect();
        self.broker.adopt(&steered);
        self.plan = plan(self.broker.wants());
        Ok(())
    }
}
