//! Attaching for real, on a veth pair in a network namespace of its own.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod support;

use std::os::fd::AsFd as _;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use stoq_ebpf::attach::{HookKind, Mode, attach, detach, list_ours};
use stoq_ebpf::capability::Reason;
use stoq_ebpf::sys::link::{LinkKind, tcx_programs};
use stoq_ebpf::tc::{Direction, filters};
use stoq_ebpf::xdp::{self, XdpMode, XdpProgram};

use support::{FOREIGN_FILTER, Scratch, hook, in_scratch, ip, near, passing, tc};

/// Ids of the programs the kernel shows at a hook of `near`.
fn shown(kind: HookKind) -> Vec<u32> {
    let index = near().index;
    let xdp = |mode| near().xdp.into_iter().filter(move |x| x.mode == mode);
    let clsact = |way| filters(index, way).unwrap().into_iter();
    match kind {
        HookKind::XdpNative => xdp(XdpMode::Native).map(|x| x.id).collect(),
        HookKind::XdpGeneric => xdp(XdpMode::Generic).map(|x| x.id).collect(),
        HookKind::TcxIngress => tcx_programs(LinkKind::TcxIngress, index).unwrap(),
        HookKind::TcxEgress => tcx_programs(LinkKind::TcxEgress, index).unwrap(),
        HookKind::ClsactIngress => clsact(Direction::Ingress)
            .filter_map(|f| f.program_id)
            .collect(),
        HookKind::ClsactEgress => clsact(Direction::Egress)
            .filter_map(|f| f.program_id)
            .collect(),
    }
}

fn put(scratch: &Scratch, kind: HookKind) -> u32 {
    let (program, id) = passing(kind, "stoq_test");
    let attached = attach(&hook(kind), program.as_fd(), &scratch.links()).unwrap();
    assert_eq!((attached.mode, attached.program_id), (kind.mode(), id));
    id
}

#[test]
fn every_rung_attaches_and_outlives_its_program_s_descriptor() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            let id = put(scratch, kind);
            assert_eq!(shown(kind), [id], "{kind:?}");
            let ours = list_ours(&scratch.links()).unwrap();
            assert_eq!(ours.len(), 1, "{ours:?}");
            assert_eq!((ours[0].kind, ours[0].program_id), (kind, id));
            assert_eq!(
                (&*ours[0].interface, ours[0].ifindex),
                ("near", near().index)
            );
        });
    }
}

#[test]
fn a_new_program_takes_the_old_one_s_place_in_the_same_link() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            put(scratch, kind);
            let before = list_ours(&scratch.links()).unwrap();
            let id = put(scratch, kind);
            let after = list_ours(&scratch.links()).unwrap();
            assert_eq!(shown(kind), [id], "{kind:?}");
            assert_eq!(before[0].link_id, after[0].link_id, "{kind:?}");
        });
    }
}

#[test]
fn the_same_program_again_changes_nothing() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            let (program, id) = passing(kind, "stoq_test");
            for _ in 0..2 {
                attach(&hook(kind), program.as_fd(), &scratch.links()).unwrap();
                assert_eq!(shown(kind), [id], "{kind:?}");
            }
            assert_eq!(list_ours(&scratch.links()).unwrap().len(), 1);
        });
    }
}

/// In a cluster the agent has no CAP_SYS_ADMIN.
#[test]
fn the_agent_s_capabilities_suffice_for_every_rung() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            drop_to_agent_capabilities();
            put(scratch, kind);
            let id = put(scratch, kind);
            assert_eq!(shown(kind), [id], "{kind:?}");
            detach(&hook(kind), &scratch.links()).unwrap();
            assert_eq!(shown(kind), [0u32; 0], "{kind:?}");
        });
    }
}

#[test]
fn without_cap_sys_admin_the_program_of_another_is_known_by_its_id() {
    in_scratch(|scratch| {
        let (foreign, id) = passing(HookKind::XdpNative, "theirs");
        xdp::attach(near().index, XdpMode::Native, foreign.as_fd()).unwrap();
        drop_to_agent_capabilities();
        let (program, _) = passing(HookKind::XdpNative, "stoq_test");
        let native = hook(HookKind::XdpNative);
        let error = attach(&native, program.as_fd(), &scratch.links()).unwrap_err();
        assert_eq!(error.reason, Reason::Conflict, "{error}");
        assert!(error.message.contains(&format!("id {id}")), "{error}");
    });
}

/// Links are granted to whoever could load the program; netlink asks.
#[test]
fn without_cap_net_admin_the_refusal_names_it() {
    for kind in [HookKind::ClsactIngress, HookKind::ClsactEgress] {
        in_scratch(|scratch| {
            let (program, _) = passing(kind, "stoq_test");
            let hook = hook(kind);
            keep(CapabilitySet::BPF);
            let error = attach(&hook, program.as_fd(), &scratch.links()).unwrap_err();
            assert_eq!(error.reason, Reason::PermissionDenied, "{error}");
            assert!(error.message.contains("missing CAP_NET_ADMIN"), "{error}");
        });
    }
}

fn drop_to_agent_capabilities() {
    keep(
        CapabilitySet::BPF
            | CapabilitySet::PERFMON
            | CapabilitySet::NET_ADMIN
            | CapabilitySet::NET_RAW
            | CapabilitySet::IPC_LOCK,
    );
}

/// Of the calling thread, which ends with its test.
fn keep(kept: CapabilitySet) {
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).unwrap();
}

#[test]
fn every_rung_detaches_at_once_and_leaves_nothing() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            put(scratch, kind);
            detach(&hook(kind), &scratch.links()).unwrap();
            assert_eq!(shown(kind), [0u32; 0], "{kind:?}");
            assert_eq!(list_ours(&scratch.links()).unwrap(), []);
            assert!(!tc("qdisc show dev near").contains("clsact"));
            detach(&hook(kind), &scratch.links()).unwrap();
        });
    }
}

#[test]
fn the_program_of_another_is_left_alone_and_named() {
    in_scratch(|scratch| {
        let (foreign, id) = passing(HookKind::XdpNative, "theirs");
        xdp::attach(near().index, XdpMode::Native, foreign.as_fd()).unwrap();
        for kind in [HookKind::XdpNative, HookKind::XdpGeneric] {
            let (program, _) = passing(kind, "stoq_test");
            let error = attach(&hook(kind), program.as_fd(), &scratch.links()).unwrap_err();
            assert_eq!(error.reason, Reason::Conflict, "{error}");
            assert!(error.message.contains(&id.to_string()), "{error}");
            assert!(error.message.contains("theirs"), "{error}");
            detach(&hook(kind), &scratch.links()).unwrap();
        }
        let mode = XdpMode::Native;
        assert_eq!(near().xdp, [XdpProgram { mode, id }]);
    });
}

#[test]
fn a_program_of_ours_that_no_link_holds_is_replaced_in_place() {
    for mode in [XdpMode::Native, XdpMode::Generic] {
        in_scratch(|scratch| {
            let (old, _) = passing(HookKind::XdpNative, "stoq_old");
            xdp::attach(near().index, mode, old.as_fd()).unwrap();
            let id = put(scratch, HookKind::XdpNative);
            assert_eq!(shown(HookKind::XdpNative), [id]);
            detach(&hook(HookKind::XdpNative), &scratch.links()).unwrap();
            assert_eq!(near().xdp, []);
        });
    }
}

#[test]
fn the_other_xdp_mode_is_given_up_for_the_one_asked() {
    in_scratch(|scratch| {
        put(scratch, HookKind::XdpGeneric);
        let id = put(scratch, HookKind::XdpNative);
        assert_eq!(shown(HookKind::XdpNative), [id]);
        assert_eq!(shown(HookKind::XdpGeneric), [0u32; 0]);
        assert_eq!(list_ours(&scratch.links()).unwrap().len(), 1);
    });
}

#[test]
fn an_mtu_of_9000_is_too_large_in_the_kernel_s_words() {
    in_scratch(|scratch| {
        ip("link set near mtu 9000");
        ip("link set far mtu 9000");
        let (program, _) = passing(HookKind::XdpNative, "stoq_test");
        let native = hook(HookKind::XdpNative);
        let error = attach(&native, program.as_fd(), &scratch.links()).unwrap_err();
        assert_eq!(error.reason, Reason::MtuTooLarge);
        assert_eq!(
            error.message,
            "ERANGE: veth: Peer MTU is too large to set XDP"
        );
        put(scratch, HookKind::TcxIngress);
    });
}

#[test]
fn a_driver_without_xdp_says_so() {
    in_scratch(|scratch| {
        ip("link del near");
        ip("link add near type bridge");
        let (program, _) = passing(HookKind::XdpNative, "stoq_test");
        let native = hook(HookKind::XdpNative);
        let error = attach(&native, program.as_fd(), &scratch.links()).unwrap_err();
        assert_eq!(error.reason, Reason::NotSupported, "{error}");
        assert!(error.message.contains("native mode"), "{error}");
        put(scratch, HookKind::XdpGeneric);
    });
}

#[test]
fn a_device_that_went_and_came_back_is_attached_anew() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            put(scratch, kind);
            ip("link del near");
            ip("link add near type veth peer name far");
            ip("link set near up");
            let id = put(scratch, kind);
            assert_eq!(shown(kind), [id], "{kind:?}");
            assert_eq!(list_ours(&scratch.links()).unwrap().len(), 1);
        });
    }
}

#[test]
fn the_link_of_a_device_that_is_gone_is_listed_without_an_index() {
    in_scratch(|scratch| {
        put(scratch, HookKind::TcxIngress);
        let gone = hook(HookKind::TcxIngress);
        ip("link del near");
        assert_eq!(list_ours(&scratch.links()).unwrap()[0].ifindex, 0);
        detach(&gone, &scratch.links()).unwrap();
        assert_eq!(list_ours(&scratch.links()).unwrap(), []);
    });
}

#[test]
fn a_device_that_is_gone_is_no_uplink() {
    for kind in HookKind::ALL {
        in_scratch(|scratch| {
            let gone = hook(kind);
            let (program, _) = passing(kind, "stoq_test");
            ip("link del near");
            let error = attach(&gone, program.as_fd(), &scratch.links()).unwrap_err();
            assert_eq!(error.reason, Reason::NoUplink, "{kind:?} {error}");
        });
    }
}

#[test]
fn tcx_and_clsact_run_before_the_programs_of_others() {
    in_scratch(|scratch| {
        let (foreign, theirs) = passing(HookKind::TcxIngress, "theirs");
        let index = near().index;
        let _link =
            stoq_ebpf::sys::link::create(LinkKind::TcxIngress, index, foreign.as_fd()).unwrap();
        let ours = put(scratch, HookKind::TcxIngress);
        assert_eq!(shown(HookKind::TcxIngress), [ours, theirs]);

        tc("qdisc add dev near clsact");
        let pinned = scratch.bpffs.join("theirs");
        stoq_ebpf::sys::pin::pin(foreign.as_fd(), &pinned).unwrap();
        let filter = format!("bpf direct-action object-pinned {}", pinned.display());
        tc(&format!(
            "filter add dev near egress protocol all prio 1 handle 1 {filter}"
        ));
        put(scratch, HookKind::ClsactEgress);
        let order = filters(index, Direction::Egress).unwrap();
        assert_eq!(order[0].name, "stoq_test", "{order:?}");
        assert_eq!(order.len(), 2);
    });
}

#[test]
fn a_qdisc_somebody_else_made_or_uses_stays() {
    in_scratch(|scratch| {
        tc("qdisc add dev near clsact");
        put(scratch, HookKind::ClsactIngress);
        detach(&hook(HookKind::ClsactIngress), &scratch.links()).unwrap();
        assert!(tc("qdisc show dev near").contains("clsact"));
    });
    in_scratch(|scratch| {
        put(scratch, HookKind::ClsactIngress);
        tc(&format!(
            "filter add dev near egress protocol all prio 1 {FOREIGN_FILTER}"
        ));
        detach(&hook(HookKind::ClsactIngress), &scratch.links()).unwrap();
        assert!(tc("filter show dev near egress").contains("u32"));
        tc("filter del dev near egress");
        detach(&hook(HookKind::ClsactIngress), &scratch.links()).unwrap();
        assert!(!tc("qdisc show dev near").contains("clsact"));
    });
}

#[test]
fn a_priority_taken_by_another_kind_of_filter_leaves_the_rung_untaken() {
    in_scratch(|scratch| {
        tc("qdisc add dev near clsact");
        tc(&format!(
            "filter add dev near ingress protocol all prio 1 {FOREIGN_FILTER}"
        ));
        let (program, _) = passing(HookKind::ClsactIngress, "stoq_test");
        let clsact = hook(HookKind::ClsactIngress);
        let error = attach(&clsact, program.as_fd(), &scratch.links()).unwrap_err();
        assert_eq!(error.reason, Reason::Conflict, "{error}");
    });
}

#[test]
fn nothing_stays_attached_that_cannot_be_pinned() {
    let elsewhere = tempfile::tempdir().unwrap();
    for kind in [HookKind::XdpNative, HookKind::TcxIngress] {
        in_scratch(|_| {
            let (program, _) = passing(kind, "stoq_test");
            let error = attach(&hook(kind), program.as_fd(), elsewhere.path()).unwrap_err();
            assert_eq!(error.reason, Reason::PermissionDenied, "{error}");
            assert_eq!(shown(kind), [0u32; 0], "{kind:?}");
        });
    }
}

#[test]
fn an_interface_with_a_dot_in_its_name_has_its_pin() {
    in_scratch(|scratch| {
        let mut vlan = hook(HookKind::TcxIngress);
        ip("link set near name near.100");
        vlan.interface = "near.100".to_owned();
        let (program, _) = passing(vlan.kind, "stoq_test");
        let attached = attach(&vlan, program.as_fd(), &scratch.links()).unwrap();
        assert_eq!(attached.mode, Mode::Tcx);
        assert_eq!(
            list_ours(&scratch.links()).unwrap()[0].interface,
            "near.100"
        );
    });
}

#[test]
fn a_veth_tells_its_driver_queues_and_features() {
    in_scratch(|_| {
        assert_eq!(stoq_ebpf::kernel::driver("near").unwrap(), "veth");
        assert_eq!(stoq_ebpf::kernel::queues("near").unwrap(), 1);
        assert_eq!((&*near().kind, near().mtu, near().up), ("veth", 1500, true));
        let features = stoq_ebpf::kernel::features::xdp_features(near().index).unwrap();
        assert!(!features.zero_copy(), "{features}");
    });
}
