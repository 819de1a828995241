//! Whether this process may build a lab, and whether it is alone with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// True for root. Otherwise says why `what` is skipped; in CI (`CI=true`) that is a failure.
pub fn may_run(what: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !in_ci,
        "{what}: needs root, and nothing may be skipped in CI"
    );
    eprintln!("skipped: {what}: network namespaces need root");
    false
}

/// As [`may_run`], and waits until no other test of this process holds a turn: what measures or
/// counts losses must have the cores to itself.
pub fn turn(what: &str) -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    may_run(what).then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}
