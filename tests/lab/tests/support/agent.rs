//! The agent's binary, standalone, in the node's namespace of a lab.
// Each test file that includes this one uses a part of it; clippy takes only the #[test] functions
// themselves for tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stoq_lab::process::Signal;
use stoq_lab::topology::UPLINK;
use stoq_lab::{Lab, Pod, Process, pod_yaml, tool, wait_for};

/// Where the agent serves, on the node's loopback.
pub(crate) const HTTP: &str = "127.0.0.1:9465";
/// How long it may take for what it promises to be so.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A running agent. When dropped it is killed, and `cleanup` removes what it attached.
pub(crate) struct Agent<'a> {
    lab: &'a Lab,
    process: Option<Process>,
}

impl<'a> Agent<'a> {
    /// Starts it on the lab's objects; see [`put`] and [`Agent::wait_mode`].
    pub(crate) fn start(lab: &'a Lab) -> Self {
        Self::spawn(lab, &mut run(lab))
    }

    /// Starts it for these pods and this transport, and waits for the mode.
    pub(crate) fn serving(lab: &'a Lab, pods: &[Pod], transport: &str, mode: &str) -> Self {
        for pod in pods {
            put(lab, pod.name(), &pod_yaml(*pod));
        }
        put(lab, "transport", transport);
        let agent = Self::start(lab);
        agent.wait_mode(mode);
        agent
    }

    /// Starts it by a command of the caller's, [`run`] with changes.
    pub(crate) fn spawn(lab: &'a Lab, command: &mut Command) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log(lab));
        let process = Process::start(command.stderr(log.unwrap())).unwrap();
        let process = Some(process);
        Self { lab, process }
    }

    /// Waits until it serves and every transport that takes part is in this mode.
    pub(crate) fn wait_mode(&self, mode: &str) {
        self.wait(&format!("mode {mode}"), |status| {
            let accepted = |transport: &&Value| transport["accepted"] == true;
            let mut transports = status["transports"].as_array()?.iter().filter(accepted);
            let first = transports.next()?;
            let all = first["mode"] == mode && transports.all(|other| other["mode"] == mode);
            all.then_some(())
        });
    }

    /// Waits for an answer out of the agent's status; panics with its words and log without one.
    pub(crate) fn wait<T>(&self, what: &str, answer: impl Fn(&Value) -> Option<T>) -> T {
        let found = wait_for(what, SOON, || answer(&self.status().ok()?));
        found.unwrap_or_else(|error| {
            let status = self.status().unwrap_or_default();
            panic!("{error}\n{status:#}\n{}", self.log())
        })
    }

    /// What it says of itself at `/status`.
    pub(crate) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.page("/status")?)?)
    }

    /// Its metrics now.
    pub(crate) fn scrape(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.page("/metrics")?))
    }

    /// A page as it serves it.
    pub(crate) fn page(&self, path: &str) -> Result<String> {
        fetch(self.lab, path)
    }

    /// Its metrics once two scrapes in a row show the same traffic.
    pub(crate) fn settled(&self) -> Metrics {
        let mut before = None;
        let settled = wait_for("counters to settle", SOON, || {
            let now = self.scrape().ok()?;
            let packets = now.sum("stoq_packets_total", &[]);
            let seen = before.replace(packets);
            (packets > 0.0 && seen == Some(packets)).then_some(now)
        });
        settled.unwrap()
    }

    /// What it and its predecessors in this lab have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log(self.lab)).unwrap_or_default()
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// SIGKILL; what it attached stays.
    pub(crate) fn kill(mut self) {
        drop(self.process.take());
    }

    /// SIGTERM, and its exit status; what it attached stays.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let process = self.process.take().unwrap();
        process.signal(Signal::TERM).unwrap();
        process.wait(SOON).unwrap()
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if self.process.take().is_some() {
            let _ = cleanup(self.lab);
        }
    }
}

/// The command that runs it with the lab's objects, uplink, bpffs and run directory.
pub(crate) fn run(lab: &Lab) -> Command {
    run_on(lab, &["--uplink", UPLINK])
}

/// The same, told of its uplinks by these arguments; without any it finds them.
pub(crate) fn run_on(lab: &Lab, uplinks: &[&str]) -> Command {
    fs::create_dir_all(objects(lab)).unwrap();
    let mut command = lab.node.command(binary().unwrap());
    command.arg("run").arg("--standalone").arg(objects(lab));
    command.arg("--run-dir").arg(lab.directory().join("run"));
    command.arg("--bpffs").arg(lab.bpffs());
    command.args(uplinks).args(["--http", HTTP]);
    command
}

/// `stoq-agent cleanup` on the node; what it printed.
pub(crate) fn cleanup(lab: &Lab) -> Result<String> {
    let mut command = lab.node.command(binary()?);
    command.arg("cleanup").arg("--bpffs").arg(lab.bpffs());
    tool::run(command.arg("--run-dir").arg(lab.directory().join("run")))
}

/// Writes an object's file, at once and whole.
pub(crate) fn put(lab: &Lab, name: &str, yaml: &str) {
    fs::create_dir_all(objects(lab)).unwrap();
    let fresh = lab.directory().join("fresh");
    fs::write(&fresh, yaml).unwrap();
    fs::rename(&fresh, objects(lab).join(name).with_extension("yaml")).unwrap();
}

/// Removes an object's file.
pub(crate) fn remove(lab: &Lab, name: &str) {
    fs::remove_file(objects(lab).join(name).with_extension("yaml")).unwrap();
}

/// The directory of the agent's objects.
pub(crate) fn objects(lab: &Lab) -> PathBuf {
    lab.directory().join("objects")
}

/// The agent's binary: $STOQ_AGENT, or the one beside the lab's.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("STOQ_AGENT") {
        return Ok(path.into());
    }
    let path = stoq_lab::peers::binary()?.with_file_name("stoq-agent");
    ensure!(path.is_file(), "no agent: cargo build -p stoq-agent");
    Ok(path)
}

/// Samples by series, as Prometheus reads them: `name{label="value",...}`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metrics(pub(crate) BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| line.rsplit_once(' '));
        let parsed = samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap()));
        Self(parsed.collect())
    }

    /// The sum of a metric over all series with these labels (`direction="in"`); 0 without any.
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let mine = self.0.iter().filter(|(series, _)| {
            let name = series.split('{').next();
            name == Some(metric) && labels.iter().all(|label| series.contains(label))
        });
        mine.map(|(_, value)| value).sum()
    }
}

fn fetch(lab: &Lab, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let answer = lab.node.run(|| -> Result<String> {
        let mut stream = TcpStream::connect(HTTP)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    ensure!(head.starts_with("HTTP/1.0 200"), "{path}: {head}");
    Ok(body.to_owned())
}

fn log(lab: &Lab) -> PathBuf {
    lab.directory().join("agent.log")
}
