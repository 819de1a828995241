//! Who runs where: the flood has one CPU, everybody else the others; and the kernel's time.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_getres};

/// The split of the CPUs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpus {
    /// How many there are.
    pub(super) count: usize,
    /// The flood's.
    pub(super) flood: usize,
}

impl Cpus {
    /// Gives the flood the first CPU, and this thread with all it will start the others. On a
    /// machine with one they share it.
    pub(super) fn split() -> Result<Self> {
        let mut others = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|cpu| others.is_set(*cpu));
        let flood = first.context("no CPU to run on")?;
        let count = others.count() as usize;
        if count > 1 {
            others.unset(flood);
            sched_setaffinity(None, &others)?;
        }
        Ok(Self { count, flood })
    }
}

/// How far apart two readings of the kernel's coarse clock are, which the guard goes by.
pub(super) fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    Duration::new(tick.tv_sec as u64, tick.tv_nsec as u32)
}

/// Time all CPUs have spent handling packets and other soft interrupts since boot.
pub(super) fn softirq() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = softirq_ticks(&stat).context("/proc/stat")?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1000 / per_second))
}

/// The seventh number of the line of all CPUs.
fn softirq_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    line.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_interrupts_are_the_seventh_number() {
        let stat = "cpu  1 2 3 4 5 6 77 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(softirq_ticks(stat), Some(77));
    }
}
