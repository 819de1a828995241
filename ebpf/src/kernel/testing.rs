//! What tests of this crate need from the machine.

/// `false`, with the reason on standard error, where a test that needs root cannot run; in CI it must.
pub(crate) fn root_or_skip() -> bool {
    let root = rustix::process::geteuid().is_root();
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(root || !ci, "CI runs these tests as root");
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
