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
    /// Boots a machine in a network namespace; its programs' output is kept in `logs`.
    pub(crate) fn boot(netns: &Netns, name: &str, logs: &Path) -> Result<Self> {
        Self::boot_with(netns, logs, &[name])
    }

    fn boot_with(netns: &Netns, logs: &Path, arguments: &[&str]) -> Result<Self> {
        fs::create_dir_all(logs)?;
        let mut init = netns
            .command("unshare")
            .args(["--mount", "--pid", "--uts", "--fork", "--kill-child"])
            .args(["--propagation", "private", "bash", "-c", INIT, "init"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(&logs.join("init.log"))?)
            .spawn()
            .context("unshare")?;
        let lifeline = init.stdin.take();
        let told = init.stdout.take().map(BufReader::new);
        let mut machine = Self {
            init,
            _lifeline: lifeline,
            pid: 0,
            logs: logs.to_owned(),
        };
        let mut line = String::new();
        told.context("standard output")?.read_line(&mut line)?;
        let Ok(pid) = line.trim().parse() else {
            let words = fs::read_to_string(logs.join("init.log"))?;
            bail!("{arguments:?} does not boot: {}", words.trim());
        };
        machine.pid = pid;
        Ok(machine)
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
        nsenter.stdout(out).stderr(err);
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
            let pid_1 = PathBuf::from(format!("/proc/{}", self.pid));
            let _ = wait_for("power loss", POWER_LOSS, || (!pid_1.exists()).then_some(()));
        }
    }
}

/// A command in all namespaces of the machine whose PID 1 is given.
pub fn enter(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string()]);
    command.args(["--mount", "--net", "--pid", "--uts", "--", program]);
    command
}

fn log_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| path.display().to_string())
}
