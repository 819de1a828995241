//! Whether a cluster can be started here.

use std::path::Path;
use std::sync::MutexGuard;

use crate::kube_binary;

/// True where a control plane can be started. Otherwise says why `what` is skipped; in CI
/// (`CI=true`) that is a failure.
pub fn may_run(what: &str) -> bool {
    if !stoq_lab::may_run(what) {
        return false;
    }
    let kube = kube_binary::path();
    kube.exists()
        || refuse(
            what,
            &format!("no {}: scripts/kube.sh builds it", kube.display()),
        )
}

/// As [`may_run`], for a cluster with nodes; and waits until no other test of this process holds a
/// turn, since two clusters start more slowly than one after the other.
pub fn turn(what: &str) -> Option<MutexGuard<'static, ()>> {
    may_run_nodes(what).then(|| stoq_lab::turn(what)).flatten()
}

fn may_run_nodes(what: &str) -> bool {
    const PARTS: [&str; 3] = ["/usr/bin/containerd", "/usr/sbin/runc", "/usr/lib/cni/ptp"];
    let missing = PARTS.iter().find(|part| !Path::new(part).exists());
    may_run(what)
        && missing.is_none_or(|part| refuse(what, &format!("no {part}: make setup installs it")))
}

fn refuse(what: &str, why: &str) -> bool {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "{what}: {why}, and nothing may be skipped in CI");
    eprintln!("skipped: {what}: {why}");
    false
}
