//! What a pass came to, told.

use std::net::SocketAddr;
use std::time::Instant;

use stoq_crds::Timestamp;
use stoq_ebpf::capability::Reason;

use super::Agent;
use crate::device_plugin::DevicePlugin;
use crate::files;
use crate::metrics::AfXdp;
use crate::objects::Objects;
use crate::report::{HeldSlots, Pass, gate_status, report};
use crate::status::Status;

/// Said while nothing is selected and an object, which might select something, can't be read.
const INHERITED: &str =
    "held from an earlier agent: what it attached stays until the objects above are mended";

impl Agent {
    pub(super) fn publish(
        &mut self,
        objects: &Objects,
        failed: Option<(Reason, String)>,
        began: Instant,
    ) {
        let failure = { failed.as_ref() }.map(|(reason, words)| format!("{reason}: {words}"));
        let said = self.status(objects, failed);
        let mut status = {
            let before = &self.shared.lock().status;
            said.said(std::process::id(), before, Timestamp::now())
        };
        if !self.taken
            && let Err(error) = files::write_status(&self.run_dir, &status)
        {
            status.problems.push(error.to_string());
        }
        let mut latest = self.shared.lock();
        let known = &latest.status.problems;
        let news = status.problems.iter().filter(|one| !known.contains(one));
        news.for_each(|problem| tracing::warn!("{problem}"));
        if latest.status != status || !latest.planned {
            self.shared.news.notify_one();
        }
        latest.status = status;
        latest.planned = true;
        latest.reconciles.record(began.elapsed());
        latest.passed = Some(Instant::now());
        latest.failure = failure;
    }

    pub(super) fn af_xdp(&self) -> AfXdp {
        let name = |endpoint: &SocketAddr| Some(self.plan.seats.get(endpoint)?.transport.clone());
        AfXdp::of(&self.broker.sessions(), self.watch.totals(), name)
    }

    fn status(&mut self, objects: &Objects, failed: Option<(Reason, String)>) -> Status {
        // The StoqNode has room for the first few.
        let mut problems = objects.unheard.clone();
        problems.extend(objects.problems.iter().map(ToString::to_string));
        problems.extend(self.shared.lock().http_problem.clone());
        problems.extend(self.broker.problems());
        problems.extend(self.device_plugin.as_ref().and_then(DevicePlugin::problem));
        if self.dataplane.is_inherited() {
            problems.push(INHERITED.to_owned());
        }
        let nothing = HeldSlots::new();
        let active = self.dataplane.active();
        let pass = Pass {
            plan: &self.plan,
            applied: &self.applied,
            offers: &self.broker.offers(),
            held: active.map_or(&nothing, |active| active.hooks.held()),
            failed,
            problems,
        };
        let gates = self.gates.iter().map(|gate| gate_status(gate, ""));
        report(&pass, &gates.collect::<Vec<_>>(), &self.kernel)
    }
}
