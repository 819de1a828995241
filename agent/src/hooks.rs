//! Brings the programs on the node's interfaces to what the plan wants.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use stoq_ebpf::attach::ladder::Attempt;
use stoq_ebpf::attach::{AttachError, Attached, Hook, HookKind, Mode, attach, detach, list_ours};
use stoq_ebpf::capability::Reason;
use stoq_ebpf::kernel::confinement::{Capability, Confinement};
use stoq_ebpf::loader::Loaded;
use stoq_ebpf::sys::KernelError;

use crate::plan::{Role, Wanted};

/// One place for one program on one interface, whatever rung it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// `stoq_uplink`.
    UplinkXdp,
    /// `stoq_uplink_in`.
    UplinkIn,
    /// `stoq_uplink_out`.
    UplinkOut,
    /// `stoq_pod_in`.
    PodIn,
    /// `stoq_pod_out`.
    PodOut,
}

impl Slot {
    /// Name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::UplinkXdp => "stoq_uplink",
            Self::UplinkIn => "stoq_uplink_in",
            Self::UplinkOut => "stoq_uplink_out",
            Self::PodIn => "stoq_pod_in",
            Self::PodOut => "stoq_pod_out",
        }
    }

    /// The hook of a rung for it, if the rung has one.
    fn kind(self, mode: Mode) -> Option<HookKind> {
        match (self, mode) {
            (Self::UplinkXdp, Mode::Native) => Some(HookKind::XdpNative),
            (Self::UplinkXdp, Mode::Generic) => Some(HookKind::XdpGeneric),
            (Self::UplinkIn | Self::PodOut, Mode::Tcx) => Some(HookKind::TcxIngress),
            (Self::UplinkIn | Self::PodOut, Mode::Clsact) => Some(HookKind::ClsactIngress),
            (Self::UplinkOut | Self::PodIn, Mode::Tcx) => Some(HookKind::TcxEgress),
            (Self::UplinkOut | Self::PodIn, Mode::Clsact) => Some(HookKind::ClsactEgress),
            _ => None,
        }
    }
}

const TC: [Mode; 2] = [Mode::Tcx, Mode::Clsact];

/// What became of one slot.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The interface's name.
    pub interface: String,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
    /// The hook that holds, and its program.
    pub attached: Option<(HookKind, Attached)>,
    /// What the attempts depended on: tried again when it changes.
    circumstances: (u32, BTreeSet<u32>, Vec<Mode>),
}

/// The hooks, and what each attempt on them said.
pub struct Hooks {
    links: PathBuf,
    held: BTreeMap<(u32, Slot), Held>,
    /// No TCX: for kernels without, and to try the rung below.
    without_tcx: bool,
}

/// A hook could not be listed or given up.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The list of our hooks.
    #[error("list attached programs: {0}")]
    List(KernelError),
    /// One hook.
    #[error("detach {program} from {interface}: {source}")]
    Detach {
        /// Its program.
        program: String,
        /// Its interface.
        interface: String,
        /// The kernel's words.
        source: KernelError,
    },
}

impl Hooks {
    /// Hooks whose links are pinned in `links`.
    pub fn new(links: PathBuf, without_tcx: bool) -> Self {
        Self {
            links,
            held: BTreeMap::new(),
            without_tcx,
        }
    }

    /// What is held, by interface index and slot.
    pub fn held(&self) -> &BTreeMap<(u32, Slot), Held> {
        &self.held
    }

    /// Attaches what is wanted and not there, then gives up what is there and not wanted: in this
    /// order, so that a packet never meets less than before.
    pub fn apply(
        &mut self,
        wanted: &BTreeMap<u32, Wanted>,
        programs: &mut Loaded,
    ) -> Result<(), HookError> {
        self.forget_what_is_gone()?;
        let mut keep = BTreeSet::new();
        for (index, interface) in wanted {
            for (slot, modes) in self.slots(*index, interface, programs) {
                self.hold(*index, interface, slot, &modes, programs);
                keep.insert((*index, slot));
            }
        }
        self.held.retain(|key, _| keep.contains(key));
        self.give_up_the_rest()
    }

    /// The slots of an interface and the rungs to try for each. XDP comes first: whether the
    /// uplink is guarded by TC depends on it.
    fn slots(
        &mut self,
        index: u32,
        interface: &Wanted,
        programs: &mut Loaded,
    ) -> Vec<(Slot, Vec<Mode>)> {
        let tc: Vec<Mode> = TC
            .into_iter()
            .filter(|mode| !(self.without_tcx && *mode == Mode::Tcx))
            .collect();
        match &interface.role {
            Role::Pod => vec![(Slot::PodIn, tc.clone()), (Slot::PodOut, tc)],
            Role::Uplink { modes, endpoints } => {
                let mut slots = vec![(Slot::UplinkXdp, modes.clone())];
                self.hold(index, interface, Slot::UplinkXdp, modes, programs);
                if *endpoints {
                    slots.push((Slot::UplinkOut, tc.clone()));
                    let xdp = self.held.get(&(index, Slot::UplinkXdp));
                    if xdp.is_none_or(|held| held.attached.is_none()) {
                        slots.push((Slot::UplinkIn, tc));
                    }
                }
                slots
            }
        }
    }

    /// Takes the best rung there is for the slot, unless that was settled before and nothing that
    /// decides it has changed.
    fn hold(
        &mut self,
        index: u32,
        interface: &Wanted,
        slot: Slot,
        modes: &[Mode],
        programs: &mut Loaded,
    ) {
        let ours: BTreeSet<u32> = self.our_xdp(index);
        let foreign = if slot == Slot::UplinkXdp {
            &interface.xdp - &ours
        } else {
            BTreeSet::new()
        };
        let circumstances = (interface.mtu, foreign, modes.to_vec());
        if let Some(held) = self.held.get(&(index, slot))
            && held.circumstances == circumstances
            && held.attached.is_some()
        {
            return;
        }
        let before = self
            .held
            .get(&(index, slot))
            .map(|held| held.attempts.clone());
        let before = before.unwrap_or_default();
        let mut held = Held {
            interface: interface.name.clone(),
            circumstances,
            ..Held::default()
        };
        for mode in modes {
            let Some(kind) = slot.kind(*mode) else {
                continue;
            };
            let hook = Hook {
                interface: interface.name.clone(),
                ifindex: index,
                kind,
                program: slot.program().into(),
            };
            match self.attach(&hook, slot, programs) {
                Ok(attached) => {
                    tracing::info!(
                        interface = hook.interface,
                        program = hook.program,
                        ?mode,
                        "attached"
                    );
                    held.attempts.push(Attempt {
                        mode: *mode,
                        outcome: Ok(()),
                    });
                    held.attached = Some((kind, attached));
                    break;
                }
                Err(error) => {
                    let attempt = Attempt {
                        mode: *mode,
                        outcome: Err((error.reason, error.message)),
                    };
                    if !before.contains(&attempt) {
                        tracing::warn!(
                            interface = hook.interface, program = hook.program, ?mode,
                            outcome = ?attempt.outcome, "refused"
                        );
                    }
                    held.attempts.push(attempt);
                }
            }
        }
        self.held.insert((index, slot), held);
    }

    fn attach(
        &self,
        hook: &Hook,
        slot: Slot,
        programs: &mut Loaded,
    ) -> Result<Attached, AttachError> {
        if slot == Slot::UplinkXdp {
            let program = programs.xdp(slot.program()).map_err(|e| unloaded(&e))?;
            let fd = program.fd().map_err(|e| unloaded(&e))?;
            return attach(hook, fd.as_fd(), &self.links);
        }
        let program = programs.tc(slot.program()).map_err(|e| unloaded(&e))?;
        let fd = program.fd().map_err(|e| unloaded(&e))?;
        attach(hook, fd.as_fd(), &self.links)
    }

    fn our_xdp(&self, index: u32) -> BTreeSet<u32> {
        let ours = list_ours(&self.links).unwrap_or_default();
        let here = ours.into_iter().filter(|one| one.ifindex == index);
        here.map(|one| one.program_id).collect()
    }

    /// Forgets what the kernel no longer has: somebody detached it, or its device went away.
    fn forget_what_is_gone(&mut self) -> Result<(), HookError> {
        let there: BTreeSet<_> = list_ours(&self.links)
            .map_err(HookError::List)?
            .into_iter()
            .map(|one| (one.ifindex, one.kind))
            .collect();
        self.held.retain(|(index, _), held| match held.attached {
            Some((kind, _)) => there.contains(&(*index, kind)),
            None => true,
        });
        Ok(())
    }

    fn give_up_the_rest(&self) -> Result<(), HookError> {
        let wanted: BTreeSet<_> = self
            .held
            .iter()
            .filter_map(|((index, _), held)| Some((*index, held.attached?.0)))
            .collect();
        for one in list_ours(&self.links).map_err(HookError::List)? {
            if wanted.contains(&(one.ifindex, one.kind)) {
                continue;
            }
            let program = program_of(one.kind).to_owned();
            let hook = Hook {
                interface: one.interface.clone(),
                ifindex: one.ifindex,
                kind: one.kind,
                program: program.clone(),
            };
            tracing::info!(interface = one.interface, kind = ?one.kind, "detaching");
            detach(&hook, &self.links).map_err(|source| HookError::Detach {
                program,
                interface: one.interface,
                source,
            })?;
        }
        Ok(())
    }
}

fn unloaded(error: &dyn std::error::Error) -> AttachError {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    if text.contains("Operation not permitted") {
        let needed = [Capability::Bpf, Capability::NetAdmin];
        let closed = Confinement::read().closed_by(&needed);
        return AttachError {
            reason: Reason::PermissionDenied,
            message: format!("{first} ({closed})"),
        };
    }
    AttachError {
        reason: Reason::ProbeFailed,
        message: first.to_owned(),
    }
}

/// Only a name for the message and the `clsact` filter: the direction decides.
fn program_of(kind: HookKind) -> &'static str {
    match kind {
        HookKind::XdpNative | HookKind::XdpGeneric => "stoq_uplink",
        HookKind::TcxIngress | HookKind::ClsactIngress => "stoq_pod_out",
        HookKind::TcxEgress | HookKind::ClsactEgress => "stoq_pod_in",
    }
}
