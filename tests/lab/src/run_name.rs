//! Names that tell whose they are, so that leftovers of dead runs can be found and removed.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "stq";

/// The name of one lab, `stq-<pid>-<serial>`: unique on the machine while its process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunName {
    pid: u32,
    serial: u32,
}

impl RunName {
    /// The next unused name of this process.
    pub fn next() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        Self {
            pid: std::process::id(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Reads `stq-<pid>-<serial>` with or without a `-<role>` behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '-');
        if parts.next()? != PREFIX {
            return None;
        }
        let pid = parts.next()?.parse().ok()?;
        let serial = parts.next()?.parse().ok()?;
        Some(Self { pid, serial })
    }

    /// The name of one thing of this run, such as `stq-<pid>-<serial>-client`.
    pub fn of(&self, role: &str) -> String {
        format!("{self}-{role}")
    }

    /// Whether the process that made the name still exists.
    pub fn is_alive(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{}-{}", self.pid, self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_way_through_text() {
        let name = RunName::next();
        assert_eq!(RunName::parse(&name.to_string()), Some(name));
        assert_eq!(RunName::parse(&name.of("node")), Some(name));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for text in ["client", "stq", "stq-1", "stq-x-1", "stq--1-a", "cni-12-3"] {
            assert_eq!(RunName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn two_names_of_one_process_differ() {
        assert_ne!(RunName::next(), RunName::next());
        assert!(RunName::next().is_alive());
    }
}
