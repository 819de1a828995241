//! A lab comes up, carries packets and goes away leaving nothing.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use stoq_lab::{Lab, LabOptions, Pod, may_run, sweep, tool, wait_for};

fn traces(name: &str) -> Vec<String> {
    let netns = tool::run(Command::new("ip").args(["netns", "list"])).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let entries = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let directories = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let lines = netns
        .lines()
        .chain(mounts.lines())
        .map(str::to_owned)
        .chain(directories);
    lines.filter(|line| line.contains(name)).collect()
}

#[test]
fn a_lab_leaves_nothing_behind() {
    if !may_run("a_lab_leaves_nothing_behind") {
        return;
    }
    let lab = Lab::up(LabOptions::default()).unwrap();
    let name = lab.name().to_string();
    assert!(!traces(&name).is_empty());
    let mut sleeper = lab.pod.command("sleep").arg("60").spawn().unwrap();
    drop(lab);
    assert!(
        !sleeper.wait().unwrap().success(),
        "processes inside are ended"
    );
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn a_lab_leaves_nothing_behind_on_panic() {
    if !may_run("a_lab_leaves_nothing_behind_on_panic") {
        return;
    }
    let mut name = String::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::up(LabOptions::default()).unwrap();
        name = lab.name().to_string();
        lab.client.run(|| panic!("inside a namespace")).unwrap()
    }));
    assert!(panicked.is_err());
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn sweep_removes_the_labs_of_dead_runs_and_no_others() {
    if !may_run("sweep_removes_the_labs_of_dead_runs_and_no_others") {
        return;
    }
    let lab = Lab::up(LabOptions::default()).unwrap();
    // Above the highest pid the kernel gives out.
    let dead = "stq-4194305-0-client";
    // Labs that come up meanwhile sweep too, perhaps between the two steps of this.
    let add = || tool::run(Command::new("ip").args(["netns", "add", dead])).ok();
    wait_for("a dead run's namespace", Duration::from_secs(10), add).unwrap();
    sweep();
    assert_eq!(traces(dead), Vec::<String>::new());
    assert!(lab.client.path().exists() && lab.bpffs().exists());
}

#[test]
fn every_pod_answers_the_client_on_both_families() {
    if !may_run("every_pod_answers_the_client_on_both_families") {
        return;
    }
    for mtu in [1500, 9000] {
        let lab = Lab::up(LabOptions {
            mtu,
            ..LabOptions::default()
        })
        .unwrap();
        // 28 and 48 bytes of headers, 20 more in IPv6.
        let payload = (mtu - 48).to_string();
        for target in Pod::ALL.iter().flat_map(|pod| pod.targets(0)) {
            let mut ping = lab.client.command("ping");
            let ip = target.ip().to_string();
            tool::run(ping.args(["-c1", "-W2", "-Mdo", "-s", &payload, &ip])).unwrap();
        }
    }
}

#[test]
fn the_bpffs_of_a_lab_is_its_own() {
    if !may_run("the_bpffs_of_a_lab_is_its_own") {
        return;
    }
    let labs = [(); 2].map(|()| Lab::up(LabOptions::default()).unwrap());
    fs::create_dir(labs[0].bpffs().join("stoq")).unwrap();
    let mut seen = labs[0].pod.command("ls");
    let seen = tool::run(seen.arg(labs[0].bpffs())).unwrap();
    assert!(seen.lines().any(|name| name == "stoq"), "{seen}");
    assert!(!labs[1].bpffs().join("stoq").exists());
}

#[test]
fn counters_show_what_an_interface_carried() {
    if !may_run("counters_show_what_an_interface_carried") {
        return;
    }
    let lab = Lab::up(LabOptions::default()).unwrap();
    let before = lab.node.counters("uplink0").unwrap();
    let mut ping = lab.client.command("ping");
    tool::run(ping.args(["-c5", "-i0.01", &Pod::Routed.v4().to_string()])).unwrap();
    let carried = lab.node.counters("uplink0").unwrap().since(&before);
    assert!(
        carried.rx_packets >= 5 && carried.tx_packets >= 5,
        "{carried:?}"
    );
    assert!(lab.node.counters("nowhere0").is_err());
}
