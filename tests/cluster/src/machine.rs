//! A machine: a network namespace for as long as the cluster lives, and from boot to power loss
//! PID, mount and host name namespaces with all that runs in them.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use stoq_lab::{Netns, wait_for};

use crate::service::Service;

const INIT: &str = include_str!("machine/init.sh");
/// Where Debian has what nodes need; a caller's may lack some.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const POWER_LOSS: Duration = Duration::from_secs(10);

/// A machine that is up; all its processes end when it is dropped, or when this process dies.
#[derive(Debug)]
pub struct Machine {
    init: Child,
    // PID 1 reads from it, and ends when nobody can write any more.
    _lifeline: Option<ChildStdin>,
    pid: u32,
    logs: PathBuf,
}

impl Machine {
    /// Boots a machine in a network namespace; what its programs say is kept in `state`/log.
    pub(crate) fn boot(netns: &Netns, name: &str, state: &Path) -> Result<Self> {
        Self::boot_with(netns, state, &[name])
    }

    /// As [`Self::boot`], with its own /run, /var/lib, /var/log and /sys, kept in `state`.
    pub(crate) fn boot_node(netns: &Netns, name: &str, state: &Path, bpffs: bool) -> Result<Self> {
        let directory = state.display().to_string();
        let arguments = [name, &directory, if bpffs { "yes" } else { "no" }];
        Self::boot_with(netns, state, &arguments)
    }

    fn boot_with(netns: &Netns, state: &Path, arguments: &[&str]) -> Result<Self> {
        let logs = state.join("log");
        fs::create_dir_all(&logs)?;
        let script = state.join("init.sh");
        fs::write(&script, INIT)?;
        let mut init = netns
            .command("unshare")
            .args(["--mount", "--pid", "--uts", "--fork", "--kill-child"])
            .args(["--propagation", "private", "bash"])
            .arg(script)
            .args(arguments)
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(&logs.join("init.log"))?)
            .spawn()
            .context("unshare")?;
        let mut machine = Self {
            _lifeline: init.stdin.take(),
            pid: 0,
            logs,
            init,
        };
        machine.pid = machine
            .told()
            .with_context(|| format!("booting {arguments:?}"))?;
        Ok(machine)
    }

    /// The process id that PID 1 tells when all is set up.
    fn told(&mut self) -> Result<u32> {
        let mut line = String::new();
        let out = self.init.stdout.take().context("standard output")?;
        BufReader::new(out).read_line(&mut line)?;
        if let Ok(pid) = line.trim().parse() {
            return Ok(pid);
        }
        let words = fs::read_to_string(self.logs.join("init.log"))?;
        bail!("{}", words.trim())
    }

    /// Process id of its PID 1, as the host knows it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A command that will run on the machine, in all its namespaces.
    pub fn command(&self, program: &str) -> Command {
        enter(self.pid, program)
    }

    /// Starts a program of the machine; what it says is added to `<logs>/<name>.log`.
    pub(crate) fn start(&self, name: &str, command: &[String]) -> Result<Service> {
        let log = self.logs.join(format!("{name}.log"));
        let (out, err) = (log_file(&log)?, log_file(&log)?);
        // Its other namespaces are the thread's: so the child is ours, with a process id we know.
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--mount=/proc/{}/ns/mnt", self.pid));
        nsenter.arg("--").args(command).stdin(Stdio::null());
        nsenter.stdout(out).stderr(err).env("PATH", PATH);
        let child = self.inside(|| nsenter.spawn())?.context(name.to_owned())?;
        Ok(Service::new(child, name, log))
    }

    /// Runs `work` on a thread whose children are the machine's.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let machine = pidfd_open(pid.context("pid")?, PidfdFlags::empty())?;
        let namespaces = ThreadNameSpaceType::NETWORK
            | ThreadNameSpaceType::PROCESS_ID
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME;
        let inside = || -> Result<T> {
            move_into_thread_name_spaces(machine.as_fd(), namespaces)?;
            Ok(work())
        };
        std::thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
        if self.pid != 0 {
            let _ = wait_for("power loss", POWER_LOSS, || ended(self.pid).then_some(()));
        }
    }
}

/// Whether a process has ended. Its parent is the host's init now, which may take seconds to notice.
fn ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        let state = stat.rsplit_once(')').map(|(_, state)| state.trim_start());
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    })
}

/// A command in all namespaces of the machine whose PID 1 is given.
pub fn enter(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string()]);
    command.args(["--mount", "--net", "--pid", "--uts", "--", program]);
    command.env("PATH", PATH);
    command
}

fn log_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| path.display().to_string())
}
