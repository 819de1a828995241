//! Two devices to try things on, gone afterwards on every path.

use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::Gate;
use super::hooks::{self, MaybePair};
use super::objects::LOAD;
use crate::kernel::device;
use crate::kernel::interface::{self, Interface};
use crate::sys::KernelError;

/// A veth pair of ours; removed when dropped.
pub(super) struct Pair {
    pub(super) near: Interface,
    pub(super) far: u32,
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Err(error) = device::delete(self.near.index) {
            tracing::warn!(device = self.near.name, %error, "scratch device stays");
        }
    }
}

impl Pair {
    fn create() -> Result<Self, KernelError> {
        let [near, far] = names(std::process::id());
        device::create_veth(&near, &far)?;
        Ok(Self {
            near: interface::by_name(&near)?,
            far: interface::by_name(&far)?.index,
        })
    }
}

/// At most 15 bytes, and two processes' differ.
fn names(process: u32) -> [String; 2] {
    ["a", "b"].map(|end| format!("stoqp{:07x}{end}", process & 0x0fff_ffff))
}

/// Runs `probe` with a pair on a thread of its own; if it does not end in time, each of `names` is not known.
pub(super) fn with_pair(
    names: &'static [&'static str],
    probe: fn(&MaybePair) -> Vec<Gate>,
) -> Vec<Gate> {
    const DEADLINE: Duration = Duration::from_secs(10);
    let (done, result) = mpsc::channel();
    let work = move || {
        // Nobody listens any more after the deadline.
        let _ = done.send(isolated(probe));
    };
    if let Err(error) = std::thread::Builder::new().spawn(work) {
        return unknown(names, &error.into());
    }
    result
        .recv_timeout(DEADLINE)
        .unwrap_or_else(|_| unknown(names, &Errno::TIMEDOUT.into()))
}

fn isolated(probe: fn(&MaybePair) -> Vec<Gate>) -> Vec<Gate> {
    // SAFETY: only the network namespace of this thread, which has opened nothing yet, is left.
    // Refused without CAP_SYS_ADMIN: then the pair is made in the current namespace.
    let _ = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    probe(&Pair::create())
}

fn unknown(names: &[&'static str], error: &KernelError) -> Vec<Gate> {
    let gates = names.iter().map(|name| hooks::no_pair(name, LOAD, error));
    gates.collect()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn names_fit_an_interface() {
        for process in [1, 4_194_304, u32::MAX] {
            assert!(names(process).iter().all(|name| name.len() < 16));
        }
    }

    #[test]
    fn a_probe_that_panics_leaves_its_gates_unknown() {
        if !crate::kernel::testing::root_or_skip() {
            return;
        }
        let gates = with_pair(&["one"], |_| panic!("as a test"));
        assert!(matches!(gates[0].state, State::Unknown { .. }));
    }
}
