//! The agent, standalone, in the node's namespace.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::metrics::{Scrape, fetch};
use super::policy;
use super::scene::Stoq;
use crate::process::Signal;
use crate::topology::UPLINK;
use crate::{Lab, Pod, Process, pod_yaml, tool, wait_for};

const HTTP: u16 = 9465;
const READY: Duration = Duration::from_secs(15);
const GONE: Duration = Duration::from_secs(10);

/// A running agent; its programs go with [`Agent::remove`], or with the lab's bpffs.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    lab: &'a Lab,
    process: Process,
}

impl<'a> Agent<'a> {
    /// Starts it and waits until it guards the way the run wants.
    pub(super) fn start(lab: &'a Lab, stoq: Stoq) -> Result<Self> {
        let mode = if stoq == Stoq::Tcx { "Tcx" } else { "Native" };
        Self::guarding(lab, &policy::transport(stoq), mode)
    }

    /// Starts it for the routed pod and one transport, and waits until that is in this mode.
    pub(crate) fn guarding(lab: &'a Lab, transport: &str, mode: &str) -> Result<Self> {
        let objects = lab.directory().join("objects");
        fs::create_dir_all(&objects)?;
        fs::write(objects.join("pod.yaml"), pod_yaml(Pod::Routed))?;
        fs::write(objects.join("transport.yaml"), transport)?;
        let mut command = command(lab, "run")?;
        command.arg("--standalone").arg(&objects);
        command.arg("--run-dir").arg(run_dir(lab));
        command.args(["--uplink", UPLINK, "--log", "text"]);
        command.args(["--http", &format!("127.0.0.1:{HTTP}")]);
        command.stderr(File::create(log(lab))?);
        let process = Process::start(&mut command)?;
        let agent = Self { lab, process };
        agent.wait(mode)?;
        Ok(agent)
    }

    /// $STOQ_AGENT, or the binary beside this program.
    pub(super) fn binary() -> Result<PathBuf> {
        if let Some(path) = env::var_os("STOQ_AGENT") {
            return Ok(path.into());
        }
        let path = env::current_exe()?.with_file_name("stoq-agent");
        if !path.is_file() {
            bail!("no stoq-agent beside this program: cargo build --release -p stoq-agent");
        }
        Ok(path)
    }

    /// CPU time so far.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }

    /// The metrics of the agent that now runs in the lab.
    pub(super) fn scrape(lab: &Lab) -> Result<Scrape> {
        lab.node.run(|| Scrape::fetch(HTTP))?
    }

    /// Ends it and removes its programs.
    pub(crate) fn remove(self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(GONE)?;
        let mut cleanup = command(self.lab, "cleanup")?;
        cleanup.arg("--run-dir").arg(run_dir(self.lab));
        tool::run(&mut cleanup).map(drop)
    }

    /// Waits until it guards at the uplink and at the pod. It is asked itself, not its file: that
    /// may still be an earlier agent's, and flows that begin before the pod's hook is there take a
    /// while to count as established.
    fn wait(&self, mode: &str) -> Result<()> {
        let guards = || guards(&self.status().ok()?, mode).then_some(());
        wait_for(&format!("STOQ in mode {mode}"), READY, guards).with_context(|| self.words())
    }

    /// What it says of the mode that its transport is in.
    pub(crate) fn says(&self) -> Result<String> {
        let transport = &self.status()?["transports"][0];
        let word = |name: &str| transport[name].as_str().unwrap_or_default();
        Ok(format!("{}: {}", word("reason"), word("message")))
    }

    fn status(&self) -> Result<Value> {
        let status = self.lab.node.run(|| fetch(HTTP, "/status"))??;
        Ok(serde_json::from_str(&status)?)
    }

    /// What the agent says of itself, for an error.
    fn words(&self) -> String {
        let status = self.status().unwrap_or_default();
        let said = fs::read_to_string(log(self.lab)).unwrap_or_default();
        format!("{status:#}\n{said}")
    }
}

fn command(lab: &Lab, subcommand: &str) -> Result<Command> {
    let mut command = lab.node.command(Agent::binary()?);
    command.arg(subcommand);
    command.arg("--bpffs").arg(lab.bpffs());
    Ok(command)
}

/// Where it keeps its files, and listens for pods.
pub(crate) fn run_dir(lab: &Lab) -> PathBuf {
    lab.directory().join("run")
}

fn log(lab: &Lab) -> PathBuf {
    lab.directory().join("agent.log")
}

/// Whether the one transport is in this mode, and both hooks of its pod's interface are there.
fn guards(status: &Value, mode: &str) -> bool {
    let hooks = |interface: &Value| interface["attached"].as_array().map_or(0, Vec::len);
    let mut interfaces = status["interfaces"].as_array().into_iter().flatten();
    status["transports"][0]["mode"] == mode
        && interfaces.any(|one| one["role"] == "pod" && hooks(one) == 2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_guards_once_the_mode_is_in_force_and_the_pod_has_its_hooks() {
        let status = |mode: &str, role: &str, attached: Value| {
            let interfaces = json!([{"role": role, "attached": attached}]);
            json!({"transports": [{"mode": mode}], "interfaces": interfaces})
        };
        for (status, expected) in [
            (json!({"transports": [], "interfaces": []}), false),
            (status("Native", "pod", json!([])), false),
            (status("Native", "uplink", json!([{}, {}])), false),
            (status("Tcx", "pod", json!([{}, {}])), false),
            (status("Native", "pod", json!([{}, {}])), true),
        ] {
            assert_eq!(guards(&status, "Native"), expected, "{status}");
        }
    }
}
