//! Network namespaces that cannot outlive the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A namespace held by a child that ends when the test does, however the test ends: it waits for the
/// end of a pipe. Nothing is named, so nothing is left behind.
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    /// Makes one with `lo` up.
    pub(crate) fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut ready = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        assert_eq!(ready, "\n", "no namespace");
        Self { holder }
    }

    /// What `ip link ... netns` takes.
    pub(crate) fn id(&self) -> u32 {
        self.holder.id()
    }

    /// Moves the calling thread in.
    pub(crate) fn enter(&self) {
        let file = File::open(self.path()).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs `ip` commands, one per line, inside.
    pub(crate) fn ip(&self, lines: &str) {
        ip_in(&format!("--net={}", self.path()), lines);
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.id())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Runs the test on a thread of its own inside a fresh namespace, on one single-threaded runtime.
/// Says why and returns if the user may not make namespaces; in CI that is a failure.
pub(crate) fn in_namespace<T: AsyncFnOnce(&Namespace) + Send>(test: T) {
    if !rustix::process::geteuid().is_root() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CI must run this as root"
        );
        eprintln!("skipped: network namespaces need root");
        return;
    }
    let run = || {
        let namespace = Namespace::new();
        namespace.enter();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(&namespace));
    };
    let outcome = std::thread::scope(|scope| scope.spawn(run).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn ip_in(namespace: &str, lines: &str) {
    let mut ip = Command::new("nsenter")
        .args([namespace, "ip", "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nsenter");
    std::io::Write::write_all(&mut ip.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "ip refuses one of:\n{lines}");
}
