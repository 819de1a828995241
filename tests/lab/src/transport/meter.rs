//! What an end has taken so far.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

use super::end::End;
use super::report::Costs;

/// Reads the clocks and counters of this process, of its CPU and of its namespace.
pub(super) struct Meter {
    start: Instant,
    cpu: Option<usize>,
    ksoftirqd: Option<PathBuf>,
    /// Bytes taken from streams in bulk.
    pub(super) bytes: AtomicU64,
}

impl Meter {
    /// For a process that stays on this CPU.
    pub(super) fn new(cpu: Option<usize>) -> Self {
        Self {
            start: Instant::now(),
            cpu,
            ksoftirqd: cpu.and_then(ksoftirqd),
            bytes: AtomicU64::new(0),
        }
    }

    /// All since the start, or since long before.
    pub(super) fn read(&self, end: &End) -> Result<Costs> {
        let (by_udp, af_xdp) = end.counts();
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Costs {
            time: self.start.elapsed().as_nanos() as u64,
            cpu: spent.tv_sec as u64 * 1_000_000_000 + spent.tv_nsec as u64,
            ksoftirqd: self.ksoftirqd.as_ref().map_or(Ok(0), run_time)?,
            softirq: self.cpu.map_or(Ok(0), softirq)?,
            bytes: self.bytes.load(Relaxed),
            by_udp,
            by_af_xdp: af_xdp.packets,
            udp_full: udp_full(&fs::read_to_string("/proc/thread-self/net/snmp")?)
                .context("snmp")?,
            no_frame: af_xdp.no_frame,
            ring_full: af_xdp.ring_full,
            dropped: af_xdp.dropped,
        })
    }
}

/// The file with the run time of the thread that runs a CPU's soft interrupts.
fn ksoftirqd(cpu: usize) -> Option<PathBuf> {
    let name = format!("ksoftirqd/{cpu}\n");
    let entries = fs::read_dir("/proc").ok()?;
    let mut processes = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = processes
        .find(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == name))?;
    Some(found.join("schedstat"))
}

fn run_time(schedstat: &PathBuf) -> Result<u64> {
    let text = fs::read_to_string(schedstat)?;
    let first = text.split_whitespace().next().context("schedstat")?;
    Ok(first.parse()?)
}

fn softirq(cpu: usize) -> Result<u64> {
    let ticks = softirq_ticks(&fs::read_to_string("/proc/stat")?, cpu).context("/proc/stat")?;
    Ok(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// The seventh number of a CPU's line.
fn softirq_ticks(stat: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu} ");
    let line = stat.lines().find(|line| line.starts_with(&name))?;
    line.split_whitespace().nth(7)?.parse().ok()
}

/// `RcvbufErrors` of the lines `Udp:`, the first of which names the columns.
fn udp_full(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let mut columns = lines.next()?.split_whitespace();
    let column = columns.position(|name| name == "RcvbufErrors")?;
    lines.next()?.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_interrupts_of_one_cpu_are_read() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 70 8 9 10\n";
        assert_eq!(softirq_ticks(stat, 1), Some(70));
        assert_eq!(softirq_ticks(stat, 0), None);
    }

    #[test]
    fn full_buffers_are_found_by_their_name() {
        let snmp = "Tcp: a b\nTcp: 1 2\nUdp: InDatagrams RcvbufErrors InErrors\nUdp: 5 6 7\nUdpLite: RcvbufErrors\nUdpLite: 9\n";
        assert_eq!(udp_full(snmp), Some(6));
        assert_eq!(udp_full("Udp: a\nUdp: 1\n"), None);
    }
}
