//! Brings the programs on the node's interfaces to what the plan wants.

mod held;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use stoq_ebpf::attach::ladder::Attempt;
use stoq_ebpf::attach::{
    AttachError, Attached, Attachment, Hook, HookKind, attach, detach, list_ours,
};
use stoq_ebpf::capability::Reason;
use stoq_ebpf::kernel::confinement::{Capability, Confinement};
use stoq_ebpf::loader::{LoadError, Loaded};
use stoq_ebpf::sys::KernelError;

pub use held::{Circumstances, Held};
pub use slot::Slot;

use crate::plan::Wanted;

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
            let slots = self.hold_all(*index, interface, programs);
            keep.extend(slots.map(|slot| (*index, slot)));
        }
        self.held.retain(|key, _| keep.contains(key));
        self.give_up_the_rest()
    }

    /// Every slot that the interface's role asks for.
    fn hold_all(
        &mut self,
        index: u32,
        interface: &Wanted,
        programs: &mut Loaded,
    ) -> impl Iterator<Item = Slot> + use<> {
        let first = Slot::first(&interface.role);
        for slot in first {
            self.hold(index, interface, *slot, programs);
        }
        let xdp = self.held.get(&(index, Slot::UplinkXdp));
        let xdp_holds = xdp.is_some_and(|held| held.attached.is_some());
        let second = Slot::second(&interface.role, xdp_holds);
        for slot in second {
            self.hold(index, interface, *slot, programs);
        }
        first.iter().chain(second).copied()
    }

    /// Takes the best rung there is for the slot, unless that was settled before and nothing that
    /// decides it has changed.
    fn hold(&mut self, index: u32, interface: &Wanted, slot: Slot, programs: &mut Loaded) {
        let now = self.circumstances(index, interface, slot);
        let before = self.held.remove(&(index, slot)).unwrap_or_default();
        let held = if before.is_settled(&now) {
            before
        } else {
            let held = self.climb(index, interface, slot, now, programs);
            held.tell(slot.program(), &before.attempts);
            held
        };
        self.held.insert((index, slot), held);
    }

    fn circumstances(&self, index: u32, interface: &Wanted, slot: Slot) -> Circumstances {
        let foreign = match slot {
            Slot::UplinkXdp => &interface.xdp - &self.our_programs(index),
            _ => BTreeSet::new(),
        };
        Circumstances {
            mtu: interface.mtu,
            foreign,
            rungs: slot.rungs(&interface.role, self.without_tcx),
        }
    }

    fn our_programs(&self, index: u32) -> BTreeSet<u32> {
        let ours = list_ours(&self.links).unwrap_or_default();
        let here = ours.into_iter().filter(|one| one.ifindex == index);
        here.map(|one| one.program_id).collect()
    }

    /// Tries one rung after the other until one is taken.
    fn climb(
        &self,
        index: u32,
        interface: &Wanted,
        slot: Slot,
        circumstances: Circumstances,
        programs: &mut Loaded,
    ) -> Held {
        let mut held = Held {
            interface: interface.name.clone(),
            ..Held::default()
        };
        for mode in &circumstances.rungs {
            let Some(kind) = slot.kind(*mode) else {
                continue;
            };
            let hook = hook(&interface.name, index, kind, slot.program());
            let tried = self.attach(&hook, slot, programs);
            held.attached = tried.as_ref().ok().map(|attached| (kind, *attached));
            let outcome = tried.map(drop);
            let outcome = outcome.map_err(|error| (error.reason, error.message));
            let mode = *mode;
            held.attempts.push(Attempt { mode, outcome });
            if held.attached.is_some() {
                break;
            }
        }
        Held {
            circumstances,
            ..held
        }
    }

    fn attach(
        &self,
        hook: &Hook,
        slot: Slot,
        programs: &mut Loaded,
    ) -> Result<Attached, AttachError> {
        let program = programs.program(slot.program());
        let program = program.map_err(|error| unloaded(&error))?;
        attach(hook, program.as_fd(), &self.links)
    }

    /// Forgets what the kernel no longer has: somebody detached it, or its device went away.
    fn forget_what_is_gone(&mut self) -> Result<(), HookError> {
        let ours = list_ours(&self.links).map_err(HookError::List)?;
        let there: BTreeSet<_> = ours.iter().map(|one| (one.ifindex, one.kind)).collect();
        self.held.retain(|(index, _), held| match held.attached {
            Some((kind, _)) => there.contains(&(*index, kind)),
            None => true,
        });
        Ok(())
    }

    fn give_up_the_rest(&self) -> Result<(), HookError> {
        let ours = list_ours(&self.links).map_err(HookError::List)?;
        let held = self.held.iter();
        let wanted: BTreeSet<_> = held
            .filter_map(|((index, _), held)| Some((*index, held.attached?.0)))
            .collect();
        let rest = ours.into_iter();
        rest.filter(|one| !wanted.contains(&(one.ifindex, one.kind)))
            .try_for_each(|one| self.give_up(one))
    }

    fn give_up(&self, one: Attachment) -> Result<(), HookError> {
        let program = slot::program_of(one.kind);
        let hook = hook(&one.interface, one.ifindex, one.kind, program);
        tracing::info!(interface = one.interface, kind = ?one.kind, "detaching");
        detach(&hook, &self.links).map_err(|source| HookError::Detach {
            program: hook.program,
            interface: one.interface,
            source,
        })
    }
}

fn hook(interface: &str, ifindex: u32, kind: HookKind, program: &str) -> Hook {
    Hook {
        interface: interface.to_owned(),
        ifindex,
        kind,
        program: program.to_owned(),
    }
}

fn unloaded(error: &LoadError) -> AttachError {
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
