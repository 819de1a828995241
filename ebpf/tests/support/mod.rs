//! A place where nothing can leak: network and mount namespaces that end with the thread that made them.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use stoq_ebpf::attach::{Hook, HookKind, Pins};
use stoq_ebpf::kernel::interface::{self, Interface};
use stoq_ebpf::sys::program::{self, EXIT, ProgramType, set_result};

/// Inside the namespaces: a bpffs of its own and the wire `near` - `far`, both ends up.
pub(crate) struct Scratch {
    pub(crate) bpffs: PathBuf,
    pub(crate) pins: Pins,
}

/// Runs `test` as root in a [`Scratch`]; elsewhere says why not, except in CI, where it must.
pub(crate) fn in_scratch(test: impl FnOnce(&Scratch) + Send) {
    if !rustix::process::geteuid().is_root() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "CI runs this as root");
        eprintln!("skipped: namespaces need root");
        return;
    }
    let mountpoint = tempfile::tempdir().unwrap();
    let inside = || {
        let scratch = Scratch::enter(mountpoint.path());
        ip("link set lo up");
        ip("link add near type veth peer name far");
        ip("link set near up");
        ip("link set far up");
        test(&scratch);
    };
    let outcome = std::thread::scope(|scope| scope.spawn(inside).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

impl Scratch {
    fn enter(mountpoint: &Path) -> Self {
        let flags = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
        // SAFETY: no file descriptor table is unshared, so no descriptor changes under anybody.
        unsafe { unshare_unsafe(flags) }.unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        mount("bpf", mountpoint, "bpf", MountFlags::empty(), None).unwrap();
        Self {
            bpffs: mountpoint.to_owned(),
            pins: Pins::of_version(mountpoint, 7),
        }
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.pins.links()
    }
}

pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

/// Somebody else's filter, of a kind this kernel has.
pub(crate) const FOREIGN_FILTER: &str = "u32 match u32 0 0 classid 1:1";

pub(crate) fn tc(arguments: &str) -> String {
    run("tc", arguments)
}

fn run(tool: &str, arguments: &str) -> String {
    let mut command = Command::new(tool);
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn near() -> Interface {
    interface::by_name("near").unwrap()
}

pub(crate) fn hook(kind: HookKind) -> Hook {
    Hook {
        interface: "near".to_owned(),
        ifindex: near().index,
        kind,
        program: "stoq_test".to_owned(),
    }
}

/// A program that passes everything, and its id.
pub(crate) fn passing(kind: HookKind, name: &str) -> (OwnedFd, u32) {
    let (prog_type, pass) = match kind {
        HookKind::XdpNative | HookKind::XdpGeneric => (ProgramType::Xdp, 2),
        _ => (ProgramType::SchedCls, -1),
    };
    let fd = program::load(prog_type, name, &[set_result(pass), EXIT]).unwrap();
    let id = program::info(fd.as_fd()).unwrap().id;
    (fd, id)
}
