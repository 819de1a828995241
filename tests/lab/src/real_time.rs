//! Real-time priority: what measures time must not measure how long it waited for a core.

use std::process::Command;

use anyhow::Result;

use crate::tool;

/// Above everything that is not real-time, below what the kernel runs so.
const PRIORITY: &str = "10";

/// The calling thread, and the processes and threads that it starts meanwhile, go before all
/// others of the machine; dropped, the thread is as the others again.
#[derive(Debug)]
pub struct RealTime {
    thread: String,
}

impl RealTime {
    /// Raises the calling thread.
    pub fn begin() -> Result<Self> {
        let thread = rustix::thread::gettid().to_string();
        chrt(&["--rr", "--pid", PRIORITY, &thread])?;
        Ok(Self { thread })
    }
}

impl Drop for RealTime {
    fn drop(&mut self) {
        let _ = chrt(&["--other", "--pid", "0", &self.thread]);
    }
}

fn chrt(arguments: &[&str]) -> Result<()> {
    tool::run(Command::new("chrt").args(arguments)).map(drop)
}
