//! This process, as `/proc` tells it.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// What a process uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// User and system CPU time.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Virtual memory in bytes.
    pub virtual_memory: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most it may open, if there is a limit.
    pub max_fds: Option<u64>,
    /// When it started, since 1970.
    pub started: Duration,
}

/// Ticks per second of the times in `/proc`: USER_HZ, 100 on every architecture this runs on.
const TICKS: u64 = 100;

impl Process {
    /// The calling process; `None` where there is no `/proc`.
    pub fn read() -> Option<Self> {
        let read = |path| fs::read_to_string(path).ok();
        let stat = read("/proc/self/stat")?;
        let mut process = parse(&stat, &read("/proc/self/status")?, &read("/proc/stat")?)?;
        let fds = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        // One of them is the directory itself.
        process.open_fds = fds.saturating_sub(1);
        process.max_fds = getrlimit(Resource::Nofile).current;
        Some(process)
    }
}

/// `stat` and `status` of the process, `system` is `/proc/stat` (proc_pid_stat(5), proc_stat(5)).
fn parse(stat: &str, status: &str, system: &str) -> Option<Process> {
    // The name in parentheses may hold anything; the third field comes behind it.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let booted = value(system, "btime")?;
    Some(Process {
        cpu: ticks(field(14)? + field(15)?),
        resident: value(status, "VmRSS:")? * 1024,
        virtual_memory: field(23)?,
        threads: field(20)?,
        started: Duration::from_secs(booted) + ticks(field(22)?),
        ..Process::default()
    })
}

/// The number behind the word that begins a line.
fn value(text: &str, word: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut line| (line.next()? == word).then(|| line.next()?.parse().ok())?)
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * (1000 / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_name_of_the_process() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 3 0 1234 8192 9 0";
        let status = "Name:\ta\nVmSize:\t8 kB\nVmRSS:\t  4 kB\n";
        let system = "cpu 1 2 3\nbtime 1700000000\n";
        let expected = Process {
            cpu: Duration::from_secs(3),
            resident: 4096,
            virtual_memory: 8192,
            threads: 3,
            started: Duration::from_millis(1_700_000_012_340),
            ..Process::default()
        };
        assert_eq!(parse(stat, status, system), Some(expected));
        assert_eq!(parse("", status, system), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let process = Process::read().unwrap();
        assert!(process.resident > 0 && process.threads > 0 && process.open_fds > 0);
    }
}
