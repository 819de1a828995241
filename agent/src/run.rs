//! The agent's loop: observe, plan, apply, report, and again when something changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stoq_crds::Timestamp;
use stoq_ebpf::capability::{Gate, Reason, State, probe};
use stoq_ebpf::loader::Options;
use stoq_ebpf::tables::Applied;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::broker::{Broker, Door, Limits, Offers, offers, uplinks};
use crate::bypass::{Evidence, Ways, evidence, watched};
use crate::dataplane::{Config, Dataplane, DataplaneError};
use crate::device_plugin::{DevicePlugin, Kubelet, health};
use crate::metrics::{AfXdp, Connections, Reconciles};
use crate::node::{Node, NodeState};
use crate::objects::Objects;
use crate::plan::{Detours, Plan, Settings, plan};
use crate::relays::Watch;
use crate::report::{HeldSlots, Pass, gate_status, report};
use crate::source::{Source, SourceOptions};
use crate::status::Status;
use crate::sweep::Sweeper;
use crate::{files, serve};

/// Between two looks at where packets go.
const TICK: Duration = Duration::from_secs(1);
/// Between two passes without an event, and between two sweeps of the flows.
const RESYNC: Duration = Duration::from_secs(5);

/// Said while nothing is selected and an object, which might select something, can't be read.
const INHERITED: &str =
    "held from an earlier agent: what it attached stays until the objects above are mended";

/// What `run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where the objects come from.
    pub source: SourceOptions,
    /// Names of the uplinks; empty: discovered.
    pub uplinks: Vec<String>,
    /// The node's own addresses in its cluster, whose interfaces are among those discovered.
    pub node_ips: Vec<IpAddr>,
    /// Where `status.json` goes.
    pub run_dir: PathBuf,
    /// Where a BPF file system is mounted.
    pub bpffs: PathBuf,
    /// Where `/metrics`, `/healthz`, `/readyz` and `/status` are served.
    pub http: SocketAddr,
    /// Entries of the flow table.
    pub flows: u32,
    /// Do without TCX.
    pub without_tcx: bool,
    /// What pods may have of AF_XDP.
    pub af_xdp: Limits,
    /// Whom pods ask for AF_XDP by a resource, where they do.
    pub kubelet: Option<Kubelet>,
}

/// Why the agent could not start at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where the objects come from.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// The network namespace can't be observed.
    #[error("observe the node: {0}")]
    Node(#[from] crate::node::ObserveError),
    /// Signals can't be caught.
    #[error("catch signals: {0}")]
    Signals(std::io::Error),
}

/// What the loop last found, for those who ask meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    latest: Arc<Mutex<Latest>>,
    news: Arc<Notify>,
}

/// See [`Shared`].
#[derive(Debug, Default)]
pub struct Latest {
    /// The status.
    pub status: Status,
    /// Connections by transport index.
    pub connections: BTreeMap<u32, Connections>,
    /// Passes so far.
    pub reconciles: Reconciles,
    /// Sessions of pods with AF_XDP sockets.
    pub af_xdp: AfXdp,
    /// When the last pass ended, or was put off for want of objects.
    pub passed: Option<Instant>,
    /// Whether there was a pass with a plan.
    pub planned: bool,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Problems of the HTTP server.
    pub http_problem: Option<String>,
}

impl Shared {
    /// The latest, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until a pass has ended that said something new. For one listener.
    pub async fn changed(&self) {
        self.news.notified().await;
    }
}

/// Runs until SIGTERM or SIGINT. What is attached then stays: the next agent takes it over.
///
/// # Errors
/// Only at the start; later faults are reported and retried.
pub async fn run(options: RunOptions) -> Result<(), StartError> {
    let mut source = Source::open(&options.source, &options.run_dir).await?;
    let mut node = Node::observe().await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let shared = Shared::default();
    let mut agent = Agent::new(&options, shared.clone());
    source.report(&shared, agent.dataplane.maps());
    serve::spawn(options.http, shared, agent.dataplane.maps());
    let broker = agent.broker.clone();
    let mut ticks = tokio::time::interval(TICK);
    let mut due = true;
    let mut last = Instant::now();
    loop {
        if due || last.elapsed() >= RESYNC {
            match source.objects() {
                Ok(objects) => {
                    let state = node.state();
                    tokio::task::block_in_place(|| agent.pass(&state, &objects));
                }
                Err(why) => agent.put_off(why),
            }
            { agent.plan.unresolved() }.for_each(|missing| node.resolve(missing));
            last = Instant::now();
        }
        due = tokio::select! {
            more = source.changed() => { settled(!more).await; true }
            changed = node.changed() => {
                if changed.is_err() {
                    node = reobserve().await;
                }
                true
            }
            () = broker.changed() => true,
            _ = ticks.tick() => tokio::task::block_in_place(|| agent.look()),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
    }
}

/// A watcher that ended would wake the loop at once, for ever.
async fn settled(ended: bool) {
    if ended {
        tokio::time::sleep(RESYNC).await;
    }
}

async fn reobserve() -> Node {
    loop {
        match Node::observe().await {
            Ok(node) => return node,
            Err(error) => tracing::warn!("observe the node: {error}"),
        }
        tokio::time::sleep(RESYNC).await;
    }
}

struct Agent {
    settings: Settings,
    run_dir: PathBuf,
    kernel: String,
    bpffs: PathBuf,
    gates: Vec<Gate>,
    /// Whether the last pass failed.
    failing: bool,
    /// Whether another agent has the node.
    taken: bool,
    dataplane: Dataplane,
    sweeper: Sweeper,
    shared: Shared,
    plan: Plan,
    applied: Applied,
    ways: Ways,
    detours: Detours,
    broker: Broker,
    watch: Watch,
    /// Whether there is no cluster.
    standalone: bool,
    /// Whether the broker listens.
    listening: bool,
    device_plugin: Option<DevicePlugin>,
}

impl Agent {
    fn new(options: &RunOptions, shared: Shared) -> Self {
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

    fn pass(&mut self, node: &NodeState, objects: &Objects) {
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
    fn put_off(&mut self, why: String) {
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

    /// Tells the broker what is to be had, and lets pods ask once this agent has the node.
    fn offer(&mut self) {
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
    fn tell_kubelet(&mut self, failed: Option<&(Reason, String)>) {
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

    fn publish(&mut self, objects: &Objects, failed: Option<(Reason, String)>, began: Instant) {
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

    fn af_xdp(&self) -> AfXdp {
        let name = |endpoint: &SocketAddr| Some(self.plan.seats.get(endpoint)?.transport.clone());
        AfXdp::of(&self.broker.sessions(), self.watch.totals(), name)
    }

    fn status(&mut self, objects: &Objects, failed: Option<(Reason, String)>) -> Status {
        let mut problems: Vec<String> = objects.problems.iter().map(ToString::to_string).collect();
        problems.extend(objects.unheard.iter().cloned());
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

    fn sweep(&mut self) {
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
    fn look(&mut self) -> bool {
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
    fn look_at_relays(&mut self) {
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

/// Why no AF_XDP socket could be made and bound, if it was tried in vain.
fn no_sockets(gates: &[Gate]) -> Option<String> {
    let gate = gates.iter().find(|gate| gate.name == "af-xdp")?;
    match &gate.state {
        State::Unavailable { reason, message } => Some(format!("af-xdp: {reason}: {message}")),
        State::Available | State::Unknown { .. } => None,
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
