//! A cluster goes away leaving nothing, however its run ends.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use stoq_cluster::{Cluster, sweep, turn};
use stoq_lab::process::Signal;
use stoq_lab::{Process, wait_for};

const START: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_cluster_leaves_nothing_behind() {
    let Some(_turn) = turn("a_cluster_leaves_nothing_behind") else {
        return;
    };
    let cluster = Cluster::start(1).unwrap();
    let name = cluster.control_plane.name().to_string();
    for kind in ["/run/netns", "/sys/fs/cgroup", "/proc"] {
        let traces = traces(&name);
        assert!(
            traces.iter().any(|trace| trace.starts_with(kind)),
            "{kind}: {traces:?}"
        );
    }
    drop(cluster);
    assert_eq!(traces(&name), Vec::<PathBuf>::new());
}

#[test]
fn a_cluster_leaves_nothing_behind_on_panic() {
    let Some(_turn) = turn("a_cluster_leaves_nothing_behind_on_panic") else {
        return;
    };
    let mut name = String::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let cluster = Cluster::start(1).unwrap();
        name = cluster.control_plane.name().to_string();
        panic!("with a cluster up");
    }));
    assert!(panicked.is_err());
    assert_eq!(traces(&name), Vec::<PathBuf>::new());
}

#[test]
fn the_processes_of_a_killed_run_end_and_sweep_removes_the_rest() {
    let Some(_turn) = turn("the_processes_of_a_killed_run_end_and_sweep_removes_the_rest") else {
        return;
    };
    let keeper = env!("CARGO_BIN_EXE_cluster");
    let keeper = Process::start(Command::new(keeper).args(["keep", "--nodes=1"])).unwrap();
    let session: Value = serde_json::from_str(&keeper.line(START).unwrap()).unwrap();
    let kubeconfig = Path::new(session["kubeconfig"].as_str().unwrap());
    let directory = kubeconfig.parent().unwrap().file_name().unwrap();
    let name = directory.to_str().unwrap().to_owned();

    keeper.signal(Signal::KILL).unwrap();
    keeper.wait(SOON).unwrap();
    let gone = || {
        let traces = traces(&name);
        let processes = traces
            .iter()
            .filter(|trace| trace.starts_with("/proc"))
            .count();
        (processes == 0).then_some(traces)
    };
    assert!(
        !wait_for("end of its processes", SOON, gone)
            .unwrap()
            .is_empty()
    );
    sweep();
    assert_eq!(traces(&name), Vec::<PathBuf>::new());
}

/// What has to do with a run: namespaces, directories, cgroups, mounts and processes.
fn traces(name: &str) -> Vec<PathBuf> {
    let named = |path: &PathBuf| path.to_string_lossy().contains(name);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().map(PathBuf::from).collect::<Vec<_>>();
    let cgroups = entries(Path::new("/sys/fs/cgroup")).into_iter();
    let cgroups = cgroups.flat_map(|hierarchy| entries(&hierarchy));
    let places = ["/run/netns", "/sys/fs/cgroup", "/tmp"].map(Path::new);
    let places = places.into_iter().flat_map(entries);
    let of_run = places.chain(cgroups).chain(mounts).filter(named);
    of_run.chain(processes(name)).collect()
}

/// Processes that name it in their command line, or are in one of its cgroups.
fn processes(name: &str) -> Vec<PathBuf> {
    let tells = |process: &Path, file: &str| {
        let text = fs::read(process.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(name)
    };
    let processes = entries(Path::new("/proc")).into_iter();
    processes
        .filter(|process| tells(process, "cmdline") || tells(process, "cgroup"))
        .collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
