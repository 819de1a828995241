//! Where a figure was measured.

use std::fmt;
use std::thread;

use rustix::system::uname;

/// Kernel, architecture and CPUs.
#[derive(Debug)]
pub(super) struct Machine {
    kernel: String,
    architecture: String,
    cpus: usize,
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        let name = uname();
        Self {
            kernel: name.release().to_string_lossy().into_owned(),
            architecture: name.machine().to_string_lossy().into_owned(),
            cpus: thread::available_parallelism().map_or(0, usize::from),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kernel, cpus) = (&self.kernel, self.cpus);
        write!(f, "Linux {kernel}, {}, {cpus} CPUs", self.architecture)
    }
}
