//! The places for programs on an interface, whatever rung each is on. Pure.

use stoq_ebpf::attach::{HookKind, Mode};

use crate::plan::{BelowXdp, Role};

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
    /// `stoq_relay`.
    Relay,
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
            Self::Relay => "stoq_relay",
        }
    }

    /// The hook of a rung for it, if the rung has one.
    pub(super) fn kind(self, mode: Mode) -> Option<HookKind> {
        match (self, mode) {
            (Self::UplinkXdp | Self::Relay, Mode::Native) => Some(HookKind::XdpNative),
            (Self::UplinkXdp, Mode::Generic) => Some(HookKind::XdpGeneric),
            (Self::UplinkIn | Self::PodOut, Mode::Tcx) => Some(HookKind::TcxIngress),
            (Self::UplinkIn | Self::PodOut, Mode::Clsact) => Some(HookKind::ClsactIngress),
            (Self::UplinkOut | Self::PodIn, Mode::Tcx) => Some(HookKind::TcxEgress),
            (Self::UplinkOut | Self::PodIn, Mode::Clsact) => Some(HookKind::ClsactEgress),
            _ => None,
        }
    }

    /// The rungs to try for it, best first.
    pub(super) fn rungs(self, role: &Role, without_tcx: bool) -> Vec<Mode> {
        match (self, role) {
            (Self::UplinkXdp, Role::Uplink { modes, .. }) => modes.clone(),
            (Self::UplinkXdp, _) => Vec::new(),
            // A veth has the driver's hook, or its MTU is too large for it.
            (Self::Relay, _) => vec![Mode::Native],
            _ if without_tcx => vec![Mode::Clsact],
            _ => vec![Mode::Tcx, Mode::Clsact],
        }
    }

    /// Those of an interface for which XDP is tried: what it comes to decides about the others.
    pub(super) fn first(role: &Role) -> &'static [Self] {
        match role {
            Role::Pod | Role::Relay => &[],
            Role::Uplink { .. } => &[Self::UplinkXdp],
        }
    }

    /// The others. An uplink whose XDP holds is guarded by it, not by TC.
    pub(super) fn second(role: &Role, xdp_holds: bool) -> &'static [Self] {
        match role {
            Role::Pod => &[Self::PodIn, Self::PodOut],
            Role::Relay => &[Self::Relay],
            Role::Uplink { below, .. } => match (below, xdp_holds) {
                (BelowXdp::Nothing, _) | (BelowXdp::Watch, true) => &[],
                (BelowXdp::Watch, false) => &[Self::UplinkIn],
                (BelowXdp::Endpoints, true) => &[Self::UplinkOut],
                (BelowXdp::Endpoints, false) => &[Self::UplinkOut, Self::UplinkIn],
            },
        }
    }
}

/// Only a name for the message and the `clsact` filter: the direction decides.
pub(super) fn program_of(kind: HookKind) -> &'static str {
    match kind {
        HookKind::XdpNative | HookKind::XdpGeneric => "stoq_uplink",
        HookKind::TcxIngress | HookKind::ClsactIngress => "stoq_pod_out",
        HookKind::TcxEgress | HookKind::ClsactEgress => "stoq_pod_in",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BelowXdp::{Endpoints, Nothing, Watch};
    use Slot::{PodIn, PodOut, UplinkIn, UplinkOut, UplinkXdp};

    const fn uplink(modes: Vec<Mode>, below: BelowXdp) -> Role {
        Role::Uplink { modes, below }
    }

    #[test]
    fn the_role_and_what_xdp_came_to_decide_the_slots() {
        type Slots<'a> = &'a [Slot];
        let cases: [(Role, bool, Slots<'_>, Slots<'_>); 7] = [
            (Role::Pod, false, &[], &[PodIn, PodOut]),
            (uplink(vec![], Nothing), false, &[UplinkXdp], &[]),
            (uplink(vec![], Nothing), true, &[UplinkXdp], &[]),
            (uplink(vec![], Watch), false, &[UplinkXdp], &[UplinkIn]),
            (uplink(vec![], Watch), true, &[UplinkXdp], &[]),
            (uplink(vec![], Endpoints), true, &[UplinkXdp], &[UplinkOut]),
            (
                uplink(vec![], Endpoints),
                false,
                &[UplinkXdp],
                &[UplinkOut, UplinkIn],
            ),
        ];
        for (role, xdp_holds, first, second) in cases {
            assert_eq!(Slot::first(&role), first, "{role:?}");
            assert_eq!(
                Slot::second(&role, xdp_holds),
                second,
                "{role:?} {xdp_holds}"
            );
        }
    }

    #[test]
    fn rungs_are_the_roles_for_xdp_and_the_kernels_for_tc() {
        let both = || uplink(vec![Mode::Native, Mode::Generic], Endpoints);
        let cases: [(Slot, Role, bool, &[Mode]); 6] = [
            (UplinkXdp, both(), false, &[Mode::Native, Mode::Generic]),
            (UplinkXdp, both(), true, &[Mode::Native, Mode::Generic]),
            (UplinkXdp, uplink(vec![], Endpoints), false, &[]),
            (UplinkIn, both(), false, &[Mode::Tcx, Mode::Clsact]),
            (PodOut, Role::Pod, false, &[Mode::Tcx, Mode::Clsact]),
            (PodOut, Role::Pod, true, &[Mode::Clsact]),
        ];
        for (slot, role, without_tcx, rungs) in cases {
            assert_eq!(slot.rungs(&role, without_tcx), rungs, "{slot:?} {role:?}");
        }
    }

    #[test]
    fn every_rung_of_a_slot_has_a_hook_of_that_rung() {
        let role = uplink(vec![Mode::Native, Mode::Generic], Endpoints);
        for slot in [UplinkXdp, UplinkIn, UplinkOut, PodIn, PodOut] {
            for mode in slot.rungs(&role, false) {
                assert_eq!(slot.kind(mode).map(HookKind::mode), Some(mode), "{slot:?}");
            }
            assert_eq!(slot.kind(Mode::None), None);
        }
        assert_eq!(PodIn.kind(Mode::Native), None, "a pod keeps its offloads");
    }
}
