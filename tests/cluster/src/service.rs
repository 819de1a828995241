//! A program that runs on a machine until it is stopped or the machine ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use stoq_lab::wait_for;

const STOP: Duration = Duration::from_secs(20);
const TAIL: usize = 12;

/// A running program of a machine; killed and reaped when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Service {
    pub(crate) fn new(child: Child, name: &str, log: PathBuf) -> Self {
        let name = name.to_owned();
        Self { child, name, log }
    }

    /// Its process id, as the host knows it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Asks again and again until there is an answer; an error, with its last words, if it ends
    /// or time is up.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut answer: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let child = &mut self.child;
        let outcome = wait_for(what, within, || match child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            _ => answer().map(Ok),
        });
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => bail!("{} ended: {status}; {}", self.name, tail(&self.log)),
            Err(error) => Err(error.context(format!("{}; {}", self.name, tail(&self.log)))),
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("pid")?, Signal::TERM)?;
        wait_for(&format!("end of {}", self.name), STOP, || {
            self.child.try_wait().ok().flatten()
        })?;
        Ok(())
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(TAIL);
    format!("its last words:\n{}", lines[last..].join("\n"))
}
