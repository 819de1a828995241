//! Looking for packets without sleeping, for a bounded time.

use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

/// How long to look, after something was sent or received.
const TIME: Duration = Duration::from_micros(50);

/// Looks at the AF_XDP rings in a row, some 30 ns each, before all others of the thread have a turn.
pub(crate) const LOOKS: u32 = 16;

/// Whether to go on looking.
#[derive(Debug)]
pub(crate) struct Spin {
    start: Instant,
    /// When to stop, ns after the start.
    until: AtomicU64,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            until: AtomicU64::new(0),
        }
    }

    /// From now on, anew.
    pub(crate) fn begin(&self) {
        let until = self.now().saturating_add(TIME.as_nanos() as u64);
        self.until.store(until, Ordering::Relaxed);
    }

    /// Whether the time is not over.
    pub(crate) fn goes_on(&self) -> bool {
        self.now() < self.until.load(Ordering::Relaxed)
    }

    /// Has the task polled again once every other task that can run had its turn, and the runtime has
    /// asked the kernel what is ready. A plain wake would do neither: the task would come before what
    /// `block_on` runs, and have the runtime wake other threads to share the work.
    pub(crate) fn give_way(&self, cx: &mut Context<'_>) {
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
