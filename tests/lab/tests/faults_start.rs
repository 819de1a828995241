//! Starts that make no sense end at once; all other faults are told, and the rest stays in force.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;
#[path = "support/guarded.rs"]
mod guarded;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use agent::{Agent, HTTP, SOON, binary, cleanup, run};
use guarded::{assert_guarded, attached};
use serde_json::Value;
use stoq_lab::{Lab, LabOptions, tool, turn, wait_for};

#[test]
fn a_directory_that_is_not_there_ends_the_start_in_one_line() {
    let Some(_turn) = turn("a_directory_that_is_not_there_ends_the_start_in_one_line") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let mut command = lab.node.command(binary().unwrap());
    let output = command
        .args(["run", "--standalone", "/nowhere"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("/nowhere: No such file or directory"),
        "{said}"
    );
}

#[test]
fn a_port_that_is_taken_is_told_until_it_is_free() {
    let Some(_turn) = turn("a_port_that_is_taken_is_told_until_it_is_free") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let taken = lab.node.run(|| TcpListener::bind(HTTP)).unwrap().unwrap();
    let agent = Agent::start(&lab);
    let told = || {
        let text = fs::read_to_string(lab.directory().join("run/status.json")).ok()?;
        text.contains(&format!("listen on {HTTP}")).then_some(())
    };
    wait_for("the port in status.json", SOON, told).unwrap();
    let log = agent.log();
    assert!(log.contains(HTTP) && !log.contains('\u{1b}'), "{log}");
    assert_guarded(&lab);
    drop(taken);
    agent.wait_mode("Native");
    agent.wait("no problem", no_problem);
}

#[test]
fn a_run_directory_that_is_read_only_is_told() {
    let Some(_turn) = turn("a_run_directory_that_is_read_only_is_told") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let script = "mount -t tmpfs -o ro none $1/run; shift; exec \"$@\"";
    let mut shell = in_mounts(script);
    fs::create_dir(lab.directory().join("run")).unwrap();
    shell.push(lab.directory().to_str().unwrap().to_owned());
    let agent = Agent::spawn(&lab, &mut through(&lab, &shell, &run(&lab)));
    agent.wait_mode("Native");
    agent.wait("the run directory", |status| {
        problem(status, "run/status.json: Read-only file system")
    });
    assert_guarded(&lab);
}

#[test]
fn without_a_bpffs_it_waits_for_one() {
    let Some(_turn) = turn("without_a_bpffs_it_waits_for_one") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let path = lab.directory().join("late");
    fs::create_dir(&path).unwrap();
    let agent = Agent::spawn(&lab, &mut with(&lab, "--bpffs", &path));
    agent.wait_mode("None");
    agent.wait("the reason", |status| {
        let edge = &status["transports"][0];
        let told =
            edge["message"].as_str()?.contains("is no BPF file system") && edge["ready"] == false;
        (told && edge["reason"] == "NotSupported").then_some(())
    });
    let unready = agent.page("/readyz").unwrap_err().to_string();
    assert!(unready.contains("503"), "{unready}");
    let left = fs::read_dir(&path).unwrap().count();
    assert_eq!(left, 0, "pins in a plain directory");
    let mounted = Mounted::bpffs(&path);
    agent.wait_mode("Native");
    assert_eq!(agent.page("/readyz").unwrap(), "ok\n");
    assert_guarded(&lab);
    agent.kill();
    drop(mounted);
}

#[test]
fn a_missing_capability_is_named_and_the_agent_keeps_running() {
    let Some(_turn) = turn("a_missing_capability_is_named_and_the_agent_keeps_running") else {
        return;
    };
    // CAP_SYS_ADMIN stands for both.
    for (without, name) in [
        ("bpf,-sys_admin", "CAP_BPF"),
        ("net_admin,-sys_admin", "CAP_NET_ADMIN"),
    ] {
        let lab = guarded::lab(LabOptions::default());
        let limit = [
            "setpriv".to_owned(),
            format!("--bounding-set=-{without}"),
            format!("--inh-caps=-{without}"),
        ];
        let agent = Agent::spawn(&lab, &mut through(&lab, &limit, &run(&lab)));
        agent.wait(name, |status| {
            let edge = &status["transports"][0];
            let told = edge["message"].as_str()?.contains(name);
            (told && edge["reason"] == "PermissionDenied").then_some(())
        });
        let mut probe = lab.node.command(binary().unwrap());
        probe.arg("probe").arg("--bpffs").arg(lab.bpffs());
        let said = tool::run(&mut through(&lab, &limit, &probe)).unwrap();
        assert!(said.contains(name), "{said}");
        agent.kill();
    }
}

#[test]
fn nobody_is_told_which_gates_are_closed_and_by_what() {
    let Some(_turn) = turn("nobody_is_told_which_gates_are_closed_and_by_what") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    // Where anybody may run it, wherever it was built.
    let here = tempfile::Builder::new()
        .prefix("stoq-probe")
        .tempdir_in("/tmp")
        .unwrap();
    fs::set_permissions(here.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = here.path().join("stoq-agent");
    fs::copy(binary().unwrap(), &copy).unwrap();
    let mut probe = lab.node.command("setpriv");
    probe.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    probe.arg(copy).args(["probe", "-o", "json"]);
    let said: Value = serde_json::from_str(&tool::run(&mut probe).unwrap()).unwrap();
    let gates = said.as_array().unwrap();
    assert!(gates.len() > 10, "{said}");
    for name in ["map-hash", "xdp-native", "af-xdp"] {
        let gate = gates.iter().find(|gate| gate["name"] == name).unwrap();
        let text = gate.to_string();
        assert!(text.contains("PermissionDenied"), "{text}");
        assert!(text.contains("EPERM") && text.contains("CAP_"), "{text}");
    }
}

#[test]
fn five_capabilities_are_enough() {
    let Some(_turn) = turn("five_capabilities_are_enough") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let only = "-all,+bpf,+perfmon,+net_admin,+net_raw,+ipc_lock";
    let limit = [
        "setpriv",
        &format!("--bounding-set={only}"),
        &format!("--inh-caps={only}"),
    ];
    let agent = Agent::spawn(
        &lab,
        &mut through(&lab, &limit.map(str::to_owned), &run(&lab)),
    );
    agent.wait_mode("Native");
    assert_guarded(&lab);
}

#[test]
fn neither_memlock_nor_btf_is_needed() {
    let Some(_turn) = turn("neither_memlock_nor_btf_is_needed") else {
        return;
    };
    let low = "ulimit -l 0; exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock \"$@\"";
    let blind = "mount -t tmpfs none /sys/kernel/btf; exec \"$@\"";
    for script in [low, blind] {
        let lab = guarded::lab(LabOptions::default());
        let agent = Agent::spawn(&lab, &mut through(&lab, &in_mounts(script), &run(&lab)));
        agent.wait_mode("Native");
        assert_guarded(&lab);
    }
}

#[test]
fn cleanup_waits_for_the_agents_end() {
    let Some(_turn) = turn("cleanup_waits_for_the_agents_end") else {
        return;
    };
    let lab = guarded::lab(LabOptions::default());
    let agent = Agent::start(&lab);
    agent.wait_mode("Native");
    let (before, status) = (attached(&lab), lab.directory().join("run/status.json"));
    let said = cleanup(&lab).unwrap_err().to_string();
    assert!(
        said.contains("an agent is running: stop it first"),
        "{said}"
    );
    assert_eq!(attached(&lab), before);
    assert_guarded(&lab);
    agent.kill();
    assert!(status.exists());
    let said = cleanup(&lab).unwrap();
    assert!(said.contains("run/status.json"), "{said}");
    assert!(!status.exists());
    assert_eq!(attached(&lab), []);
}

/// A bpffs on a directory that is there; unmounted when dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn bpffs(path: &'a Path) -> Self {
        tool::run(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(path)).unwrap();
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = tool::run(Command::new("umount").arg("--lazy").arg(self.0));
    }
}

/// [`run`] with another value of an option.
fn with(lab: &Lab, option: &str, value: &Path) -> Command {
    let usual = run(lab);
    let mut command = Command::new(usual.get_program());
    let mut replace = false;
    for argument in usual.get_args() {
        command.arg(if replace { value.as_os_str() } else { argument });
        replace = argument == option;
    }
    command
}

/// A shell with mounts of its own, that runs this script on its arguments.
fn in_mounts(script: &str) -> Vec<String> {
    ["unshare", "--mount", "sh", "-euc", script, "sh"]
        .map(str::to_owned)
        .into()
}

/// A command on the node, run by way of another one.
fn through(lab: &Lab, way: &[String], command: &Command) -> Command {
    let mut there = lab.node.command(&way[0]);
    there.args(&way[1..]);
    // Behind the namespace and the dashes.
    there.args(command.get_args().skip(2));
    there
}

fn problem(status: &Value, words: &str) -> Option<()> {
    let mut problems = status["problems"].as_array()?.iter();
    let found = problems.any(|one| one.as_str().is_some_and(|one| one.contains(words)));
    found.then_some(())
}

fn no_problem(status: &Value) -> Option<()> {
    status["problems"].as_array()?.is_empty().then_some(())
}
