//! Which rungs to try for a transport, and what is then in force. Pure.

use serde::Serialize;

use super::Mode;
use crate::capability::Reason;

/// How much a spec wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Policy {
    /// Not ready without it; traffic still flows.
    Require,
    /// Degraded without it.
    Prefer,
    /// Never.
    Disabled,
}

/// `spec.acceleration`: how much XDP is wanted, and in which modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpPolicy {
    /// How much.
    pub policy: Policy,
    /// In the driver.
    pub native: bool,
    /// In the stack.
    pub generic: bool,
}

/// One rung that was tried, or whose gate is known closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The rung.
    pub mode: Mode,
    /// Taken, or refused for this reason and in these words.
    pub outcome: Result<(), (Reason, String)>,
}

/// What is in force for a transport on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The rung.
    pub mode: Mode,
    /// Why this one.
    pub reason: Reason,
    /// The kernel's words about every rung above it.
    pub message: String,
    /// A lower rung than preferred.
    pub degraded: bool,
    /// At least what is required.
    pub ready: bool,
}

/// The rungs to try, best first.
pub fn ladder(xdp: XdpPolicy) -> &'static [Mode] {
    use Mode::{Clsact, Generic, Native, Tcx};
    let wanted = xdp.policy != Policy::Disabled;
    match (wanted && xdp.native, wanted && xdp.generic) {
        (true, true) => &[Native, Generic, Tcx, Clsact],
        (true, false) => &[Native, Tcx, Clsact],
        (false, true) => &[Generic, Tcx, Clsact],
        (false, false) => &[Tcx, Clsact],
    }
}

/// What the attempts, made in the order of [`ladder`], come to.
///
/// The first that succeeded is in force. Where the spec switched XDP off, either TC rung is as good as preferred:
/// they differ only in the kernel's age.
pub fn effective(xdp: XdpPolicy, attempts: &[Attempt]) -> Effective {
    let taken = attempts.iter().find(|attempt| attempt.outcome.is_ok());
    let mode = taken.map_or(Mode::None, |attempt| attempt.mode);
    let refusals = refusals_above(mode, attempts);
    let preferred = is_preferred(xdp, mode);
    Effective {
        mode,
        reason: reason(xdp, mode, preferred, &refusals),
        message: message(&refusals),
        degraded: !preferred,
        ready: is_ready(xdp, mode),
    }
}

type Refusal<'a> = (Mode, Reason, &'a str);

fn refusals_above(mode: Mode, attempts: &[Attempt]) -> Vec<Refusal<'_>> {
    let above = attempts.iter().take_while(|attempt| attempt.mode < mode);
    let refused = above.filter_map(|attempt| {
        let (reason, message) = attempt.outcome.as_ref().err()?;
        Some((attempt.mode, *reason, message.as_str()))
    });
    refused.collect()
}

fn is_preferred(xdp: XdpPolicy, mode: Mode) -> bool {
    let first = ladder(xdp).first();
    first == Some(&mode) || (first == Some(&Mode::Tcx) && mode == Mode::Clsact)
}

fn is_ready(xdp: XdpPolicy, mode: Mode) -> bool {
    match xdp.policy {
        Policy::Require => matches!(mode, Mode::Native | Mode::Generic),
        Policy::Prefer | Policy::Disabled => mode != Mode::None,
    }
}

/// Of a lower rung: what refused the best one.
fn reason(xdp: XdpPolicy, mode: Mode, preferred: bool, refusals: &[Refusal<'_>]) -> Reason {
    match refusals.first() {
        Some((_, reason, _)) if !preferred => *reason,
        _ if xdp.policy == Policy::Disabled && mode != Mode::None => Reason::Disabled,
        _ => reason_of(mode),
    }
}

fn reason_of(mode: Mode) -> Reason {
    match mode {
        Mode::Native => Reason::Native,
        Mode::Generic => Reason::Generic,
        Mode::Tcx => Reason::Tcx,
        Mode::Clsact => Reason::Clsact,
        Mode::None => Reason::None,
    }
}

/// The words alone if one rung refused; each after its rung if several did.
fn message(refusals: &[Refusal<'_>]) -> String {
    if let [(_, _, words)] = refusals {
        return (*words).to_owned();
    }
    let each = refusals
        .iter()
        .map(|(mode, _, words)| format!("{mode:?}: {words}"));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Clsact, Generic, Native, Tcx};

    const fn policy(policy: Policy, native: bool, generic: bool) -> XdpPolicy {
        XdpPolicy {
            policy,
            native,
            generic,
        }
    }

    const PREFER: XdpPolicy = policy(Policy::Prefer, true, false);
    const PREFER_BOTH: XdpPolicy = policy(Policy::Prefer, true, true);
    const REQUIRE: XdpPolicy = policy(Policy::Require, true, false);
    const REQUIRE_BOTH: XdpPolicy = policy(Policy::Require, true, true);
    const DISABLED: XdpPolicy = policy(Policy::Disabled, true, true);

    fn ok(mode: Mode) -> Attempt {
        Attempt {
            mode,
            outcome: Ok(()),
        }
    }

    fn no(mode: Mode, reason: Reason, words: &str) -> Attempt {
        Attempt {
            mode,
            outcome: Err((reason, words.to_owned())),
        }
    }

    #[test]
    fn the_ladder_follows_the_policy() {
        let cases: [(XdpPolicy, &[Mode]); 6] = [
            (PREFER, &[Native, Tcx, Clsact]),
            (PREFER_BOTH, &[Native, Generic, Tcx, Clsact]),
            (REQUIRE, &[Native, Tcx, Clsact]),
            (policy(Policy::Prefer, false, true), &[Generic, Tcx, Clsact]),
            (policy(Policy::Prefer, false, false), &[Tcx, Clsact]),
            (DISABLED, &[Tcx, Clsact]),
        ];
        for (xdp, rungs) in cases {
            assert_eq!(ladder(xdp), rungs, "{xdp:?}");
        }
    }

    #[test]
    fn the_first_rung_taken_is_in_force() {
        let mtu = || no(Native, Reason::MtuTooLarge, "ERANGE: mtu");
        let old = || no(Tcx, Reason::NotSupported, "EINVAL: tcx");
        let cases = [
            (PREFER, vec![ok(Native)], "Native Native", (false, true)),
            (
                PREFER,
                vec![mtu(), ok(Tcx)],
                "Tcx MtuTooLarge",
                (true, true),
            ),
            (
                REQUIRE,
                vec![mtu(), ok(Tcx)],
                "Tcx MtuTooLarge",
                (true, false),
            ),
            (
                REQUIRE_BOTH,
                vec![mtu(), ok(Generic)],
                "Generic MtuTooLarge",
                (true, true),
            ),
            (
                PREFER,
                vec![mtu(), old(), ok(Clsact)],
                "Clsact MtuTooLarge",
                (true, true),
            ),
            (DISABLED, vec![ok(Tcx)], "Tcx Disabled", (false, true)),
            (
                DISABLED,
                vec![old(), ok(Clsact)],
                "Clsact Disabled",
                (false, true),
            ),
            (DISABLED, vec![old()], "None NotSupported", (true, false)),
            (
                PREFER,
                vec![mtu(), old()],
                "None MtuTooLarge",
                (true, false),
            ),
            (PREFER, vec![], "None None", (true, false)),
        ];
        for (xdp, attempts, mode_and_reason, flags) in cases {
            let found = effective(xdp, &attempts);
            let text = format!("{:?} {}", found.mode, found.reason);
            assert_eq!(text, mode_and_reason, "{attempts:?}");
            assert_eq!((found.degraded, found.ready), flags, "{attempts:?}");
        }
    }

    #[test]
    fn the_message_holds_every_refusal_above() {
        let mtu = no(Native, Reason::MtuTooLarge, "ERANGE: mtu");
        let old = no(Tcx, Reason::NotSupported, "EINVAL: tcx");
        let below = no(Clsact, Reason::ProbeFailed, "never asked");
        let cases = [
            (vec![ok(Native)], ""),
            (vec![mtu.clone(), ok(Tcx), below], "ERANGE: mtu"),
            (
                vec![mtu, old, ok(Clsact)],
                "Native: ERANGE: mtu; Tcx: EINVAL: tcx",
            ),
        ];
        for (attempts, message) in cases {
            assert_eq!(effective(PREFER, &attempts).message, message);
        }
    }
}
