//! The probe as root, as nobody, and with the agent's own capabilities.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

mod support;

use std::path::Path;
use std::process::Command;

use stoq_ebpf::capability::{Capabilities, Gate, Reason, State, interface, probe};
use stoq_ebpf::kernel::interface::list;

use support::{in_scratch, near};

/// Set for the child that only probes and prints.
const CHILD: &str = "STOQ_PROBE_CHILD";

#[test]
fn root_finds_every_gate_open_but_those_this_kernel_closes() {
    in_scratch(|scratch| {
        let before = list().unwrap();
        let found = probe(&scratch.bpffs);
        for gate in &found.gates {
            assert!(gate.is_available() || explained(gate), "{gate:?}");
        }
        assert_eq!(found.gates.len(), 22);
        assert_eq!(list().unwrap(), before);
    });
}

/// On a veth, frames of 9000 bytes are too large for native XDP; a kernel may be built without type information.
fn explained(gate: &Gate) -> bool {
    match (&gate.state, gate.name) {
        (State::Unavailable { reason, message }, "xdp-native-jumbo") => {
            *reason == Reason::MtuTooLarge && message.contains("MTU is too large")
        }
        (State::Unavailable { reason, .. }, "btf") => *reason == Reason::NotSupported,
        _ => false,
    }
}

#[test]
fn a_path_that_is_no_bpffs_closes_its_gate() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path(), Path::new("/nowhere")] {
        let found = probe(path);
        let gate = found.gate("bpffs").unwrap();
        let State::Unavailable { reason, message } = &gate.state else {
            panic!("{gate:?}");
        };
        assert_eq!(*reason, Reason::NotSupported);
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn nobody_is_told_which_gates_are_closed_and_by_what() {
    in_scratch(|scratch| {
        let printed = probe_under("--reuid=65534 --regid=65534 --clear-groups", scratch);
        for (gate, words) in [
            ("xdp-program Unavailable", "missing CAP_BPF"),
            ("map-lpm-trie Unavailable", "missing CAP_BPF"),
            ("xdp-native Unknown", "no scratch devices: EPERM"),
            ("tcx Unknown", "missing CAP_BPF, CAP_NET_ADMIN"),
            ("af-xdp Unavailable", "missing CAP_NET_RAW"),
        ] {
            let line = line_of(&printed, gate);
            assert!(line.contains("PermissionDenied"), "{line}");
            assert!(line.contains(words), "{line}");
        }
        assert!(line_of(&printed, "xdp-features").contains("Available"));
    });
}

#[test]
fn the_agent_s_capabilities_open_all_it_needs_and_no_device_stays() {
    in_scratch(|scratch| {
        let caps = "-all,+bpf,+perfmon,+net_admin,+net_raw,+ipc_lock";
        let before = list().unwrap();
        let printed = probe_under(&format!("--bounding-set={caps} --inh-caps={caps}"), scratch);
        for gate in ["xdp-native", "tcx", "clsact", "af-xdp", "locked-memory"] {
            assert!(line_of(&printed, gate).contains("Available"), "{printed}");
        }
        let statistics = line_of(&printed, "run-statistics");
        assert!(statistics.contains("missing CAP_SYS_ADMIN"), "{statistics}");
        assert_eq!(list().unwrap(), before);
    });
}

#[test]
fn without_the_right_to_lock_memory_a_low_limit_closes_its_gate() {
    in_scratch(|scratch| {
        let caps = "-all,+net_raw,+net_admin,+bpf";
        let limited = format!("--bounding-set={caps} --inh-caps={caps} prlimit --memlock=65536");
        let line = line_of(&probe_under(&limited, scratch), "locked-memory");
        assert!(line.contains("RLIMIT_MEMLOCK of 65536"), "{line}");
        assert!(line.contains("missing CAP_IPC_LOCK"), "{line}");
    });
}

#[test]
fn an_interface_is_described_without_being_touched() {
    in_scratch(|_| {
        let report = interface("near").unwrap();
        assert_eq!(
            (&*report.driver, report.mtu, report.queues),
            ("veth", 1500, 1)
        );
        assert_eq!(report.ifindex, near().index);
        assert!(interface("none").is_err());
    });
}

/// Runs this very test binary under `setpriv` and returns what [`child`] prints.
fn probe_under(setpriv: &str, scratch: &support::Scratch) -> String {
    let output = Command::new("setpriv")
        .args(setpriv.split_whitespace())
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, &scratch.bpffs)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// No test of its own: prints the probe for [`probe_under`].
#[test]
fn child() {
    let Some(bpffs) = std::env::var_os(CHILD) else {
        return;
    };
    let Capabilities { gates } = probe(Path::new(&bpffs));
    for gate in gates {
        println!("\n{} {:?}", gate.name, gate.state);
    }
}

fn line_of(printed: &str, gate: &str) -> String {
    let start = format!("{gate} ");
    let mut lines = printed.lines();
    lines
        .find(|line| line.starts_with(&start))
        .unwrap()
        .to_owned()
}
