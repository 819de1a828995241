//! Child processes that do not outlive their test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde::de::DeserializeOwned;

/// A running child; killed and reaped when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

impl Process {
    /// Starts it; its standard output is read line by line, standard error goes where the
    /// command says.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| name.clone())?;
        let stdout = child.stdout.take().context("standard output")?;
        let lines = read_lines(stdout);
        Ok(Self { child, lines, name })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time it has used so far, all threads, user and system.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.pid())
    }

    /// Its next line of output.
    pub fn line(&self, within: Duration) -> Result<String> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("{}: silent for {within:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => bail!("{}: ended", self.name),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .context("pid")?;
        kill_process(pid, signal).with_context(|| self.name.clone())
    }

    /// Waits for its end.
    pub fn wait(mut self, within: Duration) -> Result<ExitStatus> {
        self.last_line(Instant::now() + within)?;
        Ok(self.child.wait()?)
    }

    /// Asks it to end (SIGTERM), then as [`Self::report`].
    pub fn stop<T: DeserializeOwned>(self, within: Duration) -> Result<T> {
        self.signal(Signal::TERM)?;
        self.report(within)
    }

    /// Waits for its end and reads its last line as JSON.
    pub fn report<T: DeserializeOwned>(mut self, within: Duration) -> Result<T> {
        let last = self.last_line(Instant::now() + within)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{}: {status}", self.name);
        let last = last.with_context(|| format!("{}: said nothing", self.name))?;
        serde_json::from_str(&last).with_context(|| format!("{}: {last}", self.name))
    }

    fn last_line(&self, deadline: Instant) -> Result<Option<String>> {
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => last = Some(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(last),
                Err(RecvTimeoutError::Timeout) => bail!("{}: does not end", self.name),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of any process, user and system, in steps of 10 ms.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).context(path)?;
    let ticks = cpu_ticks(&stat).with_context(|| stat.clone())?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1000 / per_second))
}

/// utime and stime, fields 14 and 15; the name in field 2 may hold blanks and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn cpu_time_is_read_behind_a_name_with_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(200));
    }

    #[test]
    fn the_last_line_is_the_report() {
        let child = Process::start(Command::new("sh").args(["-c", "echo ready; echo 7"])).unwrap();
        assert_eq!(child.line(SOON).unwrap(), "ready");
        assert_eq!(child.report::<u32>(SOON).unwrap(), 7);
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = Process::start(Command::new("sleep").arg("60")).unwrap();
        let proc = format!("/proc/{}", child.pid());
        drop(child);
        assert!(!std::path::Path::new(&proc).exists());
    }

    #[test]
    fn the_exit_code_of_a_child_is_told() {
        let child = Process::start(Command::new("sh").args(["-c", "exit 2"])).unwrap();
        assert_eq!(child.wait(SOON).unwrap().code(), Some(2));
    }

    #[test]
    fn a_failed_child_is_an_error() {
        let child = Process::start(Command::new("sh").args(["-c", "echo 1; exit 3"])).unwrap();
        assert!(
            child
                .report::<u32>(SOON)
                .unwrap_err()
                .to_string()
                .contains('3')
        );
    }
}
