//! Where packets go, and which flows are silent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::Agent;
use crate::bypass::{Evidence, evidence, watched};
use crate::plan::Detours;

impl Agent {
    pub(super) fn sweep(&mut self) {
        let Some(active) = self.dataplane.active() else {
            self.shared.lock().connections.clear();
            return;
        };
        match self
            .sweeper
            .sweep(&mut active.flows, &active.stats, &self.applied)
        {
            Ok(connections) => self.shared.lock().connections = connections,
            Err(error) => tracing::warn!("sweep the flows: {error}"),
        }
    }

    /// Looks where packets go. Returns whether an endpoint is to be guarded or looked for elsewhere.
    pub(in crate::run) fn look(&mut self) -> bool {
        self.look_at_relays();
        let now = crate::sweep::monotonic();
        let Some(seen) = self.seen(now) else {
            return false;
        };
        self.ways = self.ways.after(&seen, now);
        let before = std::mem::replace(&mut self.detours, self.ways.detours());
        tell(&before, &self.detours);
        before != self.detours
    }

    /// A relay whose every packet was dropped since the last look has a pod that takes nothing.
    pub(super) fn look_at_relays(&mut self) {
        let Some(active) = self.dataplane.active() else {
            return;
        };
        let traffic: Vec<_> = active.relays.traffic().collect();
        for endpoint in self.watch.look(traffic, Instant::now()) {
            self.broker.stuck(endpoint);
        }
        self.shared.lock().af_xdp = self.af_xdp();
    }

    /// The best evidence of every address's endpoints; `None` while nothing is loaded.
    fn seen(&mut self, now: u64) -> Option<BTreeMap<IpAddr, Evidence>> {
        let watched = watched(&self.plan).into_iter();
        let mut seen: BTreeMap<_, _> = watched.map(|ip| (ip, Evidence::None)).collect();
        let active = self.dataplane.active()?;
        let transports = self.applied.transports.iter();
        for endpoint in transports.flat_map(|one| &one.endpoints) {
            let Some(best) = seen.get_mut(&endpoint.addr) else {
                continue;
            };
            match active.flows.activity(endpoint.id) {
                Ok(activity) => *best = evidence(&activity, now).max(*best),
                Err(error) => tracing::warn!("read activity: {error}"),
            }
        }
        Some(seen)
    }
}

fn tell(before: &Detours, now: &Detours) {
    let news = [
        (
            &now.bypassed - &before.bypassed,
            "packets go past the interfaces of these pods",
        ),
        (
            &before.bypassed - &now.bypassed,
            "packets come by the interfaces of these pods again",
        ),
        (
            &now.suspects - &before.suspects,
            "these pods only send: the uplinks are watched for answers",
        ),
    ];
    for (pods, words) in news {
        if !pods.is_empty() {
            tracing::info!(?pods, "{words}");
        }
    }
}
