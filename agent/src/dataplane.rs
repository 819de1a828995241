//! The programs, their maps and their hooks: loaded while anything is selected, gone otherwise.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use stoq_ebpf::attach::{Pins, cleanup};
use stoq_ebpf::capability::{Gate, Reason, State};
use stoq_ebpf::flows::Flows;
use stoq_ebpf::loader::{self, LoadError, Loaded, Options};
use stoq_ebpf::pinned::OpenError;
use stoq_ebpf::stats::Stats;
use stoq_ebpf::tables::{Applied, Desired, Tables, TablesError};

use crate::hooks::{HookError, Hooks};
use crate::lease::{Lease, LeaseError};
use crate::plan::Plan;
use crate::relays::Relays;

/// How the data plane is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where a BPF file system is mounted.
    pub bpffs: PathBuf,
    /// How the object is loaded.
    pub load: Options,
    /// Whether to do without TCX.
    pub without_tcx: bool,
}

/// Why the plan could not be carried out. The last state stays in force.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// Another agent is at work.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The object could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A map could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A map could not be read or written.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The links of an older version could not be taken over.
    #[error("take over older pins: {0}")]
    Adopt(std::io::Error),
    /// Hooks could not be listed or given up.
    #[error(transparent)]
    Hooks(#[from] HookError),
}

impl DataplaneError {
    /// The stable reason, and words for a person: where the object could not be loaded, those of
    /// the closed gate that it needs.
    pub fn refusal(&self, gates: &[Gate]) -> (Reason, String) {
        match (self, closed(gates)) {
            (Self::Load(_) | Self::Lease(LeaseError::Lock { .. }), Some(found)) => found,
            _ => (self.reason(), in_full(self)),
        }
    }

    /// Whether another agent has the node; what stands in the run directory is then its word.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Lease(LeaseError::Held { .. }))
    }

    fn reason(&self) -> Reason {
        let text = in_full(self);
        if self.is_taken() {
            Reason::Conflict
        } else if matches!(self, Self::Load(LoadError::NoBpffs { .. })) {
            Reason::NotSupported
        } else if text.contains("Operation not permitted") || text.contains("EPERM") {
            Reason::PermissionDenied
        } else if text.contains("No such file or directory") {
            Reason::NotSupported
        } else {
            Reason::ProbeFailed
        }
    }

    /// The step of a pass that failed: a metric's label.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Lease(_) => "lease",
            Self::Load(_) => "load",
            Self::Open(_) | Self::Tables(_) => "tables",
            Self::Adopt(_) => "adopt",
            Self::Hooks(_) => "hooks",
        }
    }
}

/// Gates that have to be open for the object to load.
const NEEDED: [&str; 7] = [
    "bpffs",
    "map-hash",
    "map-lru-hash",
    "map-percpu-array",
    "map-lpm-trie",
    "map-devmap",
    "tc-program",
];

fn closed(gates: &[Gate]) -> Option<(Reason, String)> {
    NEEDED.iter().find_map(|name| {
        let gate = gates.iter().find(|gate| gate.name == *name)?;
        match &gate.state {
            State::Unavailable { reason, message } => Some((*reason, format!("{name}: {message}"))),
            State::Available | State::Unknown { .. } => None,
        }
    })
}

/// One line, with what caused it; the kernel's own words are often the last.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut words = String::new();
    for cause in causes.map(ToString::to_string) {
        let line = cause.lines().next().unwrap_or_default();
        if !words.contains(line) {
            let lead = if words.is_empty() { "" } else { ": " };
            words.push_str(lead);
            words.push_str(line);
        }
    }
    words
}

/// What is loaded.
pub struct Active {
    _lease: Lease,
    loaded: Loaded,
    tables: Tables,
    /// What is attached where.
    pub hooks: Hooks,
    /// Ways to AF_XDP sockets.
    pub relays: Relays,
    /// Counters.
    pub stats: Stats,
    /// The flow table.
    pub flows: Flows,
}

/// The data plane.
pub struct Dataplane {
    config: Config,
    pins: Pins,
    active: Option<Active>,
    /// Whether this agent has loaded anything yet.
    owned: bool,
    /// Whether pins of other versions have not been looked for since then.
    first: bool,
    /// Whether the last plan left an earlier agent's state as it is.
    inherited: bool,
}

impl Dataplane {
    /// One that holds nothing yet. What an earlier agent pinned stays in force until the first
    /// [`Dataplane::apply`].
    pub fn new(config: Config) -> Self {
        let pins = Pins::new(&config.bpffs);
        Self {
            config,
            pins,
            active: None,
            owned: false,
            first: false,
            inherited: false,
        }
    }

    /// Whether the last plan left in force what an earlier agent had attached.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// What is loaded, if anything is.
    pub fn active(&mut self) -> Option<&mut Active> {
        self.active.as_mut()
    }

    /// Directory of the pinned maps.
    pub fn maps(&self) -> PathBuf {
        self.pins.maps()
    }

    /// Carries the plan out: maps first, then hooks, so that what is attached finds its maps
    /// filled. Where nothing is wanted, nothing stays, but for what an earlier agent had in force
    /// while `unsure` whether it is still asked for.
    pub fn apply(&mut self, plan: &Plan, unsure: bool) -> Result<Applied, DataplaneError> {
        let empty = plan.desired.transports.is_empty();
        self.inherited = empty && inherits(unsure, self.owned, self.pins.root().exists());
        if empty {
            if !self.inherited {
                self.tear_down()?;
            }
            return Ok(Applied::default());
        }
        self.prepare()?;
        let Some(active) = &mut self.active else {
            return Ok(Applied::default());
        };
        let applied = active.tables.apply(&plan.desired)?;
        if self.first {
            let adopted = self.pins.adopt_others();
            adopted.map_err(DataplaneError::Adopt)?;
            self.first = false;
        }
        // Nothing is sent to a relay before it is whole, nor to one that goes: the maps say so first.
        let relays = &mut active.relays;
        relays.steer(plan.steered());
        relays.ensure(&plan.relays, &applied, plan.uplink_mtu());
        let interfaces = plan.interfaces.clone().into_iter();
        let interfaces = interfaces.chain(relays.programs()).collect();
        active.hooks.apply(&interfaces, &mut active.loaded)?;
        relays.remove_the_rest();
        Ok(applied)
    }

    /// Loads, if anything is wanted and nothing is loaded. Returns the endpoints whose packets go to
    /// sockets by an earlier agent's word, and their owners.
    pub fn prepare(&mut self) -> Result<Vec<(SocketAddr, u64)>, DataplaneError> {
        if self.active.is_some() {
            return Ok(Vec::new());
        }
        let active = self.load()?;
        let steered = active.tables.steered();
        self.active = Some(active);
        self.owned = true;
        self.first = true;
        Ok(steered?)
    }

    fn load(&self) -> Result<Active, DataplaneError> {
        let lease = Lease::take(&self.config.bpffs)?;
        let loaded = loader::load(&self.pins, &self.config.load)?;
        let maps = self.pins.maps();
        Ok(Active {
            _lease: lease,
            loaded,
            tables: Tables::open(&maps)?,
            hooks: Hooks::new(self.pins.links(), self.config.without_tcx),
            relays: Relays::default(),
            stats: Stats::open(&maps)?,
            flows: Flows::open(&maps)?,
        })
    }

    fn tear_down(&mut self) -> Result<(), LeaseError> {
        if self.active.is_none() && !self.pins.root().exists() {
            return Ok(());
        }
        if let Some(active) = &mut self.active {
            // What is on its way to pods' sockets still arrives.
            match active.tables.apply(&Desired::default()) {
                Ok(_) => active.relays.steer(BTreeSet::new()),
                Err(error) => tracing::warn!("empty the maps: {error}"),
            }
        }
        // Drops the lease with all else, and takes it anew for what an earlier agent has left.
        self.active = None;
        let _lease = Lease::take(&self.config.bpffs)?;
        let done = cleanup::remove_everything(Path::new(&self.config.bpffs));
        for removed in &done.removed {
            tracing::info!("removed {removed}");
        }
        for failed in &done.failed {
            tracing::warn!("not removed: {failed}");
        }
        Ok(())
    }
}

/// Whether an empty plan leaves what is pinned. An agent that has had state of its own knows each
/// object's last good state: then the plan is empty because it is meant to be.
const fn inherits(unsure: bool, owned: bool, pinned: bool) -> bool {
    unsure && !owned && pinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_agents_state_outlives_an_empty_plan() {
        for (case, unsure, owned, pinned, stays) in [
            ("bad file at the start", true, false, true, true),
            ("bad file, and nothing is there", true, false, false, false),
            ("bad file beside a deletion", true, true, true, false),
            ("no file at the start", false, false, true, false),
            ("a deletion", false, true, true, false),
        ] {
            assert_eq!(inherits(unsure, owned, pinned), stays, "{case}");
        }
    }

    #[test]
    fn a_failed_load_is_told_in_the_words_of_the_gate_it_needs() {
        let gate = |name, state| Gate { name, state };
        let closed = |reason, message: &str| State::Unavailable {
            reason,
            message: message.to_owned(),
        };
        let no_bpffs = closed(Reason::NotSupported, "/x is no BPF file system");
        let no_bpf = closed(Reason::PermissionDenied, "EPERM: missing CAP_BPF");
        let cases = [
            (
                vec![gate("bpffs", no_bpffs), gate("map-hash", no_bpf.clone())],
                (Reason::NotSupported, "bpffs: /x is no BPF file system"),
            ),
            (
                vec![
                    gate("bpffs", State::Available),
                    gate("map-hash", no_bpf.clone()),
                ],
                (Reason::PermissionDenied, "map-hash: EPERM: missing CAP_BPF"),
            ),
            (
                vec![gate("af-xdp", no_bpf)],
                (
                    Reason::PermissionDenied,
                    "create pins below /x: Operation not permitted (os error 1)",
                ),
            ),
        ];
        for (gates, (reason, words)) in cases {
            let error = DataplaneError::Load(LoadError::Pins {
                path: "/x".into(),
                source: std::io::Error::from_raw_os_error(1),
            });
            assert_eq!(error.refusal(&gates), (reason, words.to_owned()));
        }
    }
}
