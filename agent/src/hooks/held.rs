//! What became of one slot.

use std::collections::BTreeSet;

use stoq_ebpf::attach::ladder::Attempt;
use stoq_ebpf::attach::{Attached, HookKind, Mode};

/// What became of one slot.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The interface's name.
    pub interface: String,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
    /// The hook that holds, and its program.
    pub attached: Option<(HookKind, Attached)>,
    /// What the attempts depended on.
    pub circumstances: Circumstances,
}

/// What decides how attempts end: another one is made when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// MTU of the interface, bytes.
    pub mtu: u32,
    /// XDP programs of others on it, where that matters.
    pub foreign: BTreeSet<u32>,
    /// The rungs to try.
    pub rungs: Vec<Mode>,
}

impl Held {
    /// Whether it holds, and nothing that decided it has changed.
    pub(super) fn is_settled(&self, now: &Circumstances) -> bool {
        self.attached.is_some() && self.circumstances == *now
    }

    /// Writes to the log what the last look, whose attempts are given, did not find.
    pub(super) fn tell(&self, program: &str, before: &[Attempt]) {
        let interface = &self.interface;
        for Attempt { mode, outcome } in self.news(before) {
            match outcome {
                Ok(()) => tracing::info!(interface, program, ?mode, "attached"),
                Err(why) => tracing::warn!(interface, program, ?mode, outcome = ?why, "refused"),
            }
        }
    }

    /// What was attached anew is news each time; the same refusal is once.
    fn news<'a>(&'a self, before: &'a [Attempt]) -> impl Iterator<Item = &'a Attempt> {
        let attempts = self.attempts.iter();
        attempts.filter(|one| one.outcome.is_ok() || !before.contains(one))
    }
}

#[cfg(test)]
mod tests {
    use stoq_ebpf::capability::Reason;

    use super::*;

    fn circumstances(mtu: u32, foreign: &[u32], rungs: &[Mode]) -> Circumstances {
        Circumstances {
            mtu,
            foreign: foreign.iter().copied().collect(),
            rungs: rungs.to_vec(),
        }
    }

    #[test]
    fn what_holds_is_tried_again_only_when_circumstances_change() {
        let then = || circumstances(1500, &[], &[Mode::Native]);
        let attached = Attached {
            mode: Mode::Native,
            program_id: 1,
        };
        let held = |holds: bool| Held {
            attached: holds.then_some((HookKind::XdpNative, attached)),
            circumstances: then(),
            ..Held::default()
        };
        for (case, holds, now, settled) in [
            ("the same", true, then(), true),
            ("refused before", false, then(), false),
            (
                "another MTU",
                true,
                circumstances(9000, &[], &[Mode::Native]),
                false,
            ),
            (
                "somebody came",
                true,
                circumstances(1500, &[7], &[Mode::Native]),
                false,
            ),
            ("other rungs", true, circumstances(1500, &[], &[]), false),
        ] {
            assert_eq!(held(holds).is_settled(&now), settled, "{case}");
        }
    }

    #[test]
    fn the_same_refusal_is_told_once() {
        let taken = || Attempt {
            mode: Mode::Tcx,
            outcome: Ok(()),
        };
        let refused = |words: &str| Attempt {
            mode: Mode::Native,
            outcome: Err((Reason::MtuTooLarge, words.to_owned())),
        };
        let held = Held {
            attempts: vec![refused("mtu"), taken()],
            ..Held::default()
        };
        for (before, news) in [
            (vec![], vec![refused("mtu"), taken()]),
            (vec![refused("mtu"), taken()], vec![taken()]),
            (vec![refused("busy")], vec![refused("mtu"), taken()]),
        ] {
            let found: Vec<_> = held.news(&before).cloned().collect();
            assert_eq!(found, news, "{before:?}");
        }
    }
}
