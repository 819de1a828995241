//! Clean-up and upgrade: all of STOQ goes or moves, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod support;

use std::os::fd::AsFd as _;

use stoq_ebpf::attach::cleanup::remove_everything;
use stoq_ebpf::attach::{HookKind, Pins, attach, list_ours};
use stoq_ebpf::kernel::{device, interface};
use stoq_ebpf::sys::link::{self, LinkKind, tcx_programs};
use stoq_ebpf::sys::pin;
use stoq_ebpf::xdp::{self, XdpMode};

use support::{FOREIGN_FILTER, Scratch, hook, in_scratch, ip, near, passing, tc};

fn put(pins: &Pins, kind: HookKind) -> u32 {
    let (program, id) = passing(kind, "stoq_test");
    attach(&hook(kind), program.as_fd(), &pins.links()).unwrap();
    id
}

fn put_on_every_hook(scratch: &Scratch) {
    for kind in HookKind::ALL {
        if kind != HookKind::XdpGeneric {
            put(&scratch.pins, kind);
        }
    }
}

#[test]
fn cleanup_leaves_nothing_of_ours() {
    in_scratch(|scratch| {
        scratch.pins.create().unwrap();
        put_on_every_hook(scratch);
        device::create_veth("stoqa", "stoqb").unwrap();
        let done = remove_everything(&scratch.bpffs);
        assert_eq!(done.failed, [""; 0]);
        assert_eq!(near().xdp, []);
        for kind in [LinkKind::TcxIngress, LinkKind::TcxEgress] {
            assert_eq!(tcx_programs(kind, near().index).unwrap(), []);
        }
        assert!(!tc("qdisc show dev near").contains("clsact"));
        assert!(!scratch.bpffs.join("stoq").exists());
        assert!(interface::by_name("stoqa").is_err());
        assert_eq!(remove_everything(&scratch.bpffs), Default::default());
    });
}

#[test]
fn a_directory_that_is_no_bpf_file_system_is_left_alone() {
    in_scratch(|_| {
        let etc = tempfile::tempdir().unwrap();
        let objects = etc.path().join("stoq/v1/links");
        std::fs::create_dir_all(&objects).unwrap();
        std::fs::write(objects.join("edge.yaml"), "kind: Pod").unwrap();
        assert_eq!(remove_everything(etc.path()), Default::default());
        assert!(objects.join("edge.yaml").exists());
        assert_eq!(
            remove_everything(&etc.path().join("none")),
            Default::default()
        );
    });
}

#[test]
fn cleanup_leaves_what_belongs_to_others() {
    in_scratch(|scratch| {
        let (foreign, theirs) = passing(HookKind::TcxIngress, "theirs");
        let pinned = scratch.bpffs.join("theirs");
        let held = link::create(LinkKind::TcxIngress, near().index, foreign.as_fd()).unwrap();
        pin::pin(held.as_fd(), &pinned).unwrap();
        tc("qdisc add dev near clsact");
        tc(&format!(
            "filter add dev near egress protocol all prio 1 {FOREIGN_FILTER}"
        ));
        let (foreign_xdp, xdp_id) = passing(HookKind::XdpNative, "theirs");
        let far = interface::by_name("far").unwrap().index;
        xdp::attach(far, XdpMode::Generic, foreign_xdp.as_fd()).unwrap();
        put(&scratch.pins, HookKind::XdpNative);
        put(&scratch.pins, HookKind::TcxIngress);
        put(&scratch.pins, HookKind::ClsactIngress);

        assert_eq!(remove_everything(&scratch.bpffs).failed, [""; 0]);
        let tcx = tcx_programs(LinkKind::TcxIngress, near().index).unwrap();
        assert_eq!(tcx, [theirs]);
        assert!(pinned.exists());
        assert!(tc("filter show dev near egress").contains("u32"));
        assert_eq!(tc("filter show dev near ingress"), "");
        assert_eq!(interface::by_name("far").unwrap().xdp[0].id, xdp_id);
    });
}

#[test]
fn links_of_an_older_version_move_and_then_run_the_new_program() {
    in_scratch(|scratch| {
        let older = Pins::of_version(&scratch.bpffs, 3);
        older.create().unwrap();
        put_on_every_hook_of(&older);
        let before = list_ours(&older.links()).unwrap();

        scratch.pins.create().unwrap();
        scratch.pins.adopt_others().unwrap();
        assert_eq!(list_ours(&scratch.links()).unwrap(), before);
        assert!(!scratch.bpffs.join("stoq/v3").exists());

        let new = put(&scratch.pins, HookKind::XdpNative);
        let after = list_ours(&scratch.links()).unwrap();
        let native = |list: &[stoq_ebpf::attach::Attachment]| {
            let mut found = list.iter().filter(|a| a.kind == HookKind::XdpNative);
            found.next().cloned().unwrap()
        };
        assert_eq!(native(&after).link_id, native(&before).link_id);
        assert_eq!(native(&after).program_id, new);
        // The marker of our qdisc moved along.
        assert_eq!(remove_everything(&scratch.bpffs).failed, [""; 0]);
        assert!(!tc("qdisc show dev near").contains("clsact"));
    });
}

fn put_on_every_hook_of(pins: &Pins) {
    for kind in [
        HookKind::XdpNative,
        HookKind::TcxEgress,
        HookKind::ClsactIngress,
    ] {
        put(pins, kind);
    }
}

#[test]
fn a_hook_held_in_both_versions_keeps_the_newer_link() {
    in_scratch(|scratch| {
        let older = Pins::of_version(&scratch.bpffs, 3);
        put(&older, HookKind::TcxIngress);
        let new = put(&scratch.pins, HookKind::TcxIngress);
        scratch.pins.adopt_others().unwrap();
        let shown = tcx_programs(LinkKind::TcxIngress, near().index).unwrap();
        assert_eq!(shown, [new]);
    });
}

#[test]
fn a_tree_whose_device_is_gone_is_cleaned_up_too() {
    in_scratch(|scratch| {
        put_on_every_hook(scratch);
        ip("link del near");
        assert_eq!(remove_everything(&scratch.bpffs).failed, [""; 0]);
        assert!(!scratch.bpffs.join("stoq").exists());
    });
}
