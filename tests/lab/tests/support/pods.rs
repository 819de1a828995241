//! Two pods whose processes have no privileges and each a user of their own, and C programs for them.
// Each test file that includes this one uses a part of it; clippy takes only the #[test] functions
// themselves for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use stoq_lab::topology::ETH;
use stoq_lab::{Lab, LabOptions, Netns, Pod, Process, pod_yaml, tool, transport_yaml, wait_for};

use crate::agent::{SOON, put};

/// The port of both pods.
pub const PORT: u16 = 5000;
/// Nobody, the routed pod's user.
pub const USER: u32 = 65_534;
/// The bridged pod's.
pub const OTHER_USER: u32 = 65_533;
/// The example for those who write a client of their own.
pub const CLIENT: &str = "agent/examples/afxdp-client/afxdp_client.c";
/// A pod that means harm.
pub const HOSTILE: &str = "tests/lab/c/hostile.c";

/// A lab with both pods, each with a transport of its name.
pub fn lab() -> Lab {
    lab_of(LabOptions::default().mtu)
}

/// The same, on links of this MTU.
pub fn lab_of(mtu: u32) -> Lab {
    let lab = Lab::up(LabOptions {
        mtu,
        wire_like: true,
        ..LabOptions::default()
    });
    let lab = lab.unwrap();
    for (pod, user) in [(Pod::Routed, USER), (Pod::Bridged, OTHER_USER)] {
        let mut object: serde_json::Value = serde_yaml::from_str(&pod_yaml(pod)).unwrap();
        object["spec"]["securityContext"]["runAsUser"] = user.into();
        put(&lab, pod.name(), &serde_yaml::to_string(&object).unwrap());
        let selector = json!({"podSelector": {"matchLabels": {"pod": pod.name()}}});
        let transport = transport_yaml(pod.name(), PORT, "UDP", &selector);
        put(&lab, &format!("transport-{}", pod.name()), &transport);
    }
    // Where the client's end of the wire is full it waits, as with a NIC.
    let mut tc = lab.client.command("tc");
    let queue = [
        "qdisc", "replace", "dev", ETH, "root", "pfifo", "limit", "100000",
    ];
    tool::run(tc.args(queue)).unwrap();
    lab
}

/// The broker's socket.
pub fn broker(lab: &Lab) -> PathBuf {
    lab.directory().join("run").join("afxdp.sock")
}

/// A command of this user's: no capabilities, no new privileges, 64 KiB of locked memory.
pub fn unprivileged(netns: &Netns, user: u32, program: &Path) -> Command {
    let mut command = netns.command("prlimit");
    command.args(["--memlock=65536", "setpriv", "--clear-groups"]);
    command.args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]);
    command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    command.arg(program);
    command
}

/// Compiles a C program of this repository into the lab's directory.
pub fn compile(lab: &Lab, source: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = root.join(source);
    let program = lab.directory().join(source.file_stem().unwrap());
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
    let compiled = tool::run(cc.arg(&program).arg(&source));
    compiled.unwrap_or_else(|error| panic!("no cc, or it refused (make setup): {error:#}"));
    program
}

/// Waits until it says so.
pub fn says(process: &Process, words: &str) {
    let said = wait_for(words, SOON, || {
        process.line(SOON).unwrap().starts_with(words).then_some(())
    });
    said.unwrap();
}

/// Numbered packets to a pod.
pub fn send(lab: &Lab, pod: Pod, rate: u64, seconds: f64) -> Process {
    let (rate, seconds) = (format!("--rate={rate}"), format!("--seconds={seconds}"));
    lab.number_send(pod.targets(PORT)[0], &[&rate, &seconds])
        .unwrap()
}
