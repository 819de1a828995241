//! Work on one CPU.

use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The CPU that measurements run on: the last, since others like the first.
pub(super) fn measuring() -> usize {
    thread::available_parallelism().map_or(0, |cpus| cpus.get() - 1)
}

/// Runs `work` on a thread of its own, on the measuring CPU.
pub(super) fn pinned<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on(measuring(), work)
}

/// The same on another CPU, if there is one.
pub(super) fn pinned_apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on(measuring().saturating_sub(1), work)
}

fn on<T: Send>(cpu: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pinned = || {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("cpu {cpu}"))?;
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
