//! A node: containerd, kubelet and kube-proxy on a machine of their own.

mod cgroup;
mod config;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stoq_lab::{Netns, tool, wait_for};

pub(crate) use cgroup::names as cgroup_names;
pub(crate) use cgroup::remove as remove_cgroup;
pub(crate) use config::Config;
pub use config::{Cni, ProxyMode};

use crate::kube_binary;
use crate::machine::Machine;
use crate::service::Service;
use cgroup::Cgroup;

const START: Duration = Duration::from_secs(30);
const CONTAINERD: &str = "containerd";
const KUBELET: &str = "kubelet";
const PROXY: &str = "proxy";

/// How a node differs from the plain one.
#[derive(Debug, Clone, Copy)]
pub struct NodeOptions {
    /// MTU of its uplink, at both ends.
    pub mtu: u32,
    /// Whether a BPF file system is mounted.
    pub bpffs: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            mtu: 1500,
            bpffs: true,
        }
    }
}

/// A node of a cluster. Its state is kept from power loss to boot, but for /run and /sys/fs/bpf.
// Dropped in this order: the machine before what its processes use.
#[derive(Debug)]
pub struct Node {
    running: Mutex<Running>,
    config: Config,
    options: NodeOptions,
    state: PathBuf,
    _cgroup: Cgroup,
    netns: Netns,
}

#[derive(Debug, Default)]
struct Running {
    containerd: Option<Service>,
    kubelet: Option<Service>,
    proxy: Option<Service>,
    machine: Option<Machine>,
}

impl Node {
    /// A node that is switched off, its files in `state`.
    pub(crate) fn new(
        netns: Netns,
        config: Config,
        options: NodeOptions,
        state: PathBuf,
    ) -> Result<Self> {
        config.write(&state.join("lib/kube"))?;
        Ok(Self {
            running: Mutex::default(),
            _cgroup: Cgroup::create(&config.cgroup)?,
            config,
            options,
            state,
            netns,
        })
    }

    /// Its name, as Kubernetes knows it.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its address on the wire.
    pub fn address(&self) -> Ipv4Addr {
        self.config.address
    }

    /// The network its pods get addresses from.
    pub fn pods(&self) -> String {
        self.config.pods.clone()
    }

    /// Its network namespace; `uplink0` is on the wire.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// What its programs have said: `<name>.log` of containerd, kubelet and proxy.
    pub fn logs(&self) -> PathBuf {
        self.state.join("log")
    }

    /// Process id of its PID 1, as the host knows it.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running().machine()?.pid())
    }

    /// A command that will run on the node.
    pub fn command(&self, program: &str) -> Result<Command> {
        Ok(self.running().machine()?.command(program))
    }

    /// Runs a command on the node to its end; its output, or an error with its words.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        let (program, arguments) = command.split_first().context("no command")?;
        tool::run(self.command(program)?.args(arguments))
    }

    /// Gives containerd the images of an archive.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        load_image(self.pid()?, archive)
    }

    /// Power loss: every process of the node is killed at once.
    pub fn kill(&self) {
        *self.running() = Running::default();
    }

    /// Boots the node after [`Self::kill`].
    pub fn start(&self) -> Result<()> {
        self.boot()?;
        self.join()
    }

    /// Ends the kubelet; pods go on.
    pub fn stop_kubelet(&self) -> Result<()> {
        let kubelet = self.running().kubelet.take();
        kubelet.context("no kubelet runs")?.stop()
    }

    /// Starts the kubelet after [`Self::stop_kubelet`].
    pub fn start_kubelet(&self) -> Result<()> {
        let mut running = self.running();
        ensure!(running.kubelet.is_none(), "the kubelet runs already");
        let kubelet = running.machine()?.start(KUBELET, &self.config.kubelet())?;
        running.kubelet = Some(kubelet);
        Ok(())
    }

    /// Ends the kubelet and starts it again, and waits until it answers: one that finds no containerd
    /// at its start ends.
    pub fn restart_kubelet(&self) -> Result<()> {
        const HEALTH: &str = "http://127.0.0.1:10248/healthz";
        self.stop_kubelet()?;
        self.start_kubelet()?;
        wait_for("the kubelet", START, || {
            self.exec(&["busybox", "wget", "-q", "-O", "-", HEALTH])
                .ok()
        })?;
        Ok(())
    }

    /// Ends containerd and starts it again, and waits until it answers; pods go on.
    pub fn restart_containerd(&self) -> Result<()> {
        let containerd = self.running().containerd.take();
        containerd.context("no containerd runs")?.stop()?;
        self.start_containerd()
    }

    /// The machine and containerd, which need no API server.
    pub(crate) fn boot(&self) -> Result<()> {
        let mut running = self.running();
        ensure!(running.machine.is_none(), "{} is up already", self.name());
        let (name, bpffs) = (self.name(), self.options.bpffs);
        let machine = Machine::boot_node(&self.netns, name, &self.state, bpffs)?;
        running.machine = Some(machine);
        drop(running);
        self.start_containerd()
    }

    /// Kubelet and proxy.
    pub(crate) fn join(&self) -> Result<()> {
        self.start_kubelet()?;
        let mut running = self.running();
        let proxy = running.machine()?.start(PROXY, &kube_proxy())?;
        running.proxy = Some(proxy);
        Ok(())
    }

    fn start_containerd(&self) -> Result<()> {
        let mut running = self.running();
        let machine = running.machine()?;
        let command = [CONTAINERD, "--config", config::CONTAINERD].map(str::to_owned);
        let mut containerd = machine.start(CONTAINERD, &command)?;
        containerd.wait("answer", START, || {
            tool::run(machine.command("ctr").arg("version")).ok()
        })?;
        running.containerd = Some(containerd);
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn machine(&self) -> Result<&Machine> {
        self.machine.as_ref().context("the node is down")
    }
}

/// Gives the containerd of a machine, by its PID 1, the images of an archive.
pub(crate) fn load_image(pid: u32, archive: &Path) -> Result<()> {
    let file = File::open(archive).with_context(|| archive.display().to_string())?;
    let mut command = crate::machine::enter(pid, "ctr");
    command.args(["--namespace", "k8s.io", "images", "import", "-"]);
    let output = command.stdin(file).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {words}", archive.display());
    Ok(())
}

fn kube_proxy() -> Vec<String> {
    let mut command = kube_binary::part(PROXY);
    command.push(format!("--config={}", config::PROXY));
    command
}
