//! Ctrl-C ends the demonstration between two steps, so that everything is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::signal::unix::{Signal, SignalKind, signal};

const LOOK: Duration = Duration::from_millis(20);

/// Whether a signal has asked for the end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on.
    pub(super) fn watch() -> Result<Self> {
        let asked = Self(Arc::default());
        let seen = asked.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let signals = runtime.block_on(async { signals() })?;
        thread::spawn(move || {
            runtime.block_on(any(signals));
            seen.0.store(true, Relaxed);
        });
        Ok(asked)
    }

    /// An error once a signal has come.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.0.load(Relaxed), "interrupted; everything is removed");
        Ok(())
    }

    /// Waits until a moment, or for a signal.
    pub(super) fn wait_until(&self, moment: Instant) -> Result<()> {
        loop {
            self.check()?;
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

fn signals() -> Result<[Signal; 3]> {
    Ok([
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ])
}

async fn any([mut interrupt, mut terminate, mut hangup]: [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
