//! `stoq-agent cleanup`.

use std::path::Path;
use std::process::ExitCode;

use stoq_agent::files;
use stoq_agent::lease::{Lease, LeaseError};
use stoq_ebpf::attach::cleanup::{Cleanup, remove_everything};

use super::fail;

pub(super) fn cleanup(bpffs: &Path, run_dir: &Path) -> ExitCode {
    // Under a running agent half of it would come back. What can't be locked has none.
    let lease = Lease::take(bpffs);
    if matches!(lease, Err(LeaseError::Held { .. })) {
        return fail(1, "an agent is running: stop it first");
    }
    let mut done = remove_everything(bpffs);
    match files::remove_all(run_dir) {
        Ok(paths) => done
            .removed
            .extend(paths.iter().map(|path| path.display().to_string())),
        Err(error) => done.failed.push(error.to_string()),
    }
    tell(&done)
}

fn tell(done: &Cleanup) -> ExitCode {
    for removed in &done.removed {
        println!("removed {removed}");
    }
    for failed in &done.failed {
        eprintln!("stoq-agent: not removed: {failed}");
    }
    if done.removed.is_empty() && done.failed.is_empty() {
        println!("nothing of STOQ is here");
    }
    if done.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
