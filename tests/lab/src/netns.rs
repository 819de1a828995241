//! One network namespace: made, entered and removed.

use std::fs::File;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::counters::Counters;
use crate::tool;

/// A network namespace under /run/netns, removed with its processes when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace and brings its loopback up.
    pub fn create(name: String) -> Result<Self> {
        tool::run(Command::new("ip").args(["netns", "add", &name]))?;
        let netns = Self { name };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// Its name under /run/netns.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// `ip -n <name> <arguments, split at blanks>`.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]);
        tool::run(command.args(arguments.split_whitespace()))
    }

    /// Several `ip` commands, one a line, in one process.
    pub fn ip_batch(&self, lines: &[String]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-batch", "-"]);
        tool::run_with_input(&mut command, &lines.join("\n")).map(drop)
    }

    /// Switches offloads: `offload("eth0", "gso off gro on")`.
    pub fn offload(&self, interface: &str, features: &str) -> Result<()> {
        let mut command = self.command("ethtool");
        command.args(["-K", interface]);
        tool::run(command.args(features.split_whitespace())).map(drop)
    }

    /// Sets a sysctl of the namespace: `sysctl("net/ipv4/ip_forward", "1")`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let file = PathBuf::from("/proc/sys").join(key);
        self.run(|| fs::write(&file, value))?
            .with_context(|| format!("{key} = {value} in {}", self.name))
    }

    /// What an interface has carried so far.
    pub fn counters(&self, interface: &str) -> Result<Counters> {
        let table = self.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        Counters::parse(&table, interface)
            .with_context(|| format!("no interface {interface} in {}", self.name))
    }

    /// Runs `work` on a thread of its own inside the namespace: sockets it opens belong there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || -> io::Result<T> {
            self.enter()?;
            Ok(work())
        };
        std::thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
            .with_context(|| format!("entering {}", self.name))
    }

    /// Moves the calling thread into the namespace, for good.
    pub fn enter(&self) -> io::Result<()> {
        let file = File::open(self.path())?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }

    /// A command that will run inside, with the caller's mounts (/sys/fs/bpf stays visible).
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.arg("--").arg(program);
        command
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes a namespace and ends what still runs inside; errors leave the rest to the next sweep.
pub(crate) fn remove(name: &str) {
    let inside = tool::run(Command::new("ip").args(["netns", "pids", name]));
    for pid in inside.unwrap_or_default().lines().filter_map(foreign) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = tool::run(Command::new("ip").args(["netns", "del", name]));
}

fn foreign(line: &str) -> Option<Pid> {
    let pid: i32 = line.trim().parse().ok()?;
    Pid::from_raw(pid).filter(|pid| *pid != rustix::process::getpid())
}
