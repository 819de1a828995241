//! The binary's words and exit codes.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use stoq_agent::files::write_status;
use stoq_agent::lease::Lease;
use stoq_agent::status::Status;

#[test]
fn a_status_of_an_agent_that_is_gone_says_so_beside_it() {
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let warning = format!(
        "stoq-agent: the agent that wrote this (pid {}) is not running: its hooks stay in force\n",
        gone.id()
    );
    let run_dir = tempfile::tempdir().unwrap();
    for (pid, expected) in [(gone.id(), &*warning), (std::process::id(), ""), (0, "")] {
        let status = Status {
            pid,
            ..Status::default()
        };
        write_status(run_dir.path(), &status).unwrap();
        let output = status_of(run_dir.path());
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
        let said: Status = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said, status);
    }
}

#[test]
fn cleanup_under_a_running_agent_is_refused_in_one_line() {
    let bpffs = tempfile::tempdir().unwrap();
    let _agent = Lease::take(bpffs.path()).unwrap();
    let mut command = agent();
    command.arg("cleanup").arg("--bpffs").arg(bpffs.path());
    let output = command.arg("--run-dir").arg(bpffs.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "stoq-agent: an agent is running: stop it first\n");
}

#[test]
fn a_command_line_that_makes_no_sense_costs_one_line_and_help_is_whole() {
    for (arguments, code, lines) in [
        (&["run"][..], 2, [0..=0, 1..=1]),
        (&["status", "--color"], 2, [0..=0, 1..=1]),
        (&["run", "--help"], 0, [10..=99, 0..=0]),
        (&["--version"], 0, [1..=1, 0..=0]),
        (&[], 2, [0..=0, 10..=99]),
    ] {
        let output = agent().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        for (said, lines) in said.iter().zip(lines) {
            assert!(
                lines.contains(&said.lines().count()),
                "{arguments:?}: {said}"
            );
        }
    }
}

fn status_of(run_dir: &Path) -> Output {
    let mut command = agent();
    command.args(["status", "-o", "json", "--run-dir"]);
    command.arg(run_dir).output().unwrap()
}

fn agent() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stoq-agent"))
}
