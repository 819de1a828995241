//! Against a kubelet that is played: what a real one can't be made to do.

mod kubelet;
mod pod;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use stoq_ebpf::broker::Reason;

use super::*;
use crate::broker::Limits;
use kubelet::{Played, Registered};
use pod::{ENDPOINT, OTHER, ask, offers};

const COUNT: u32 = 3;

/// A node with a plugin, and perhaps a kubelet.
struct Node {
    directory: tempfile::TempDir,
    plugin: DevicePlugin,
    broker: Broker,
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("plugins")).unwrap();
        let (plugin, broker) = agent(directory.path());
        Self {
            directory,
            plugin,
            broker,
        }
    }

    fn kubelet(&self) -> Played {
        Played::start(self.directory.path())
    }

    /// SIGKILL, and the next one.
    fn restart_agent(&mut self) {
        (self.plugin, self.broker) = agent(self.directory.path());
    }
}

fn agent(directory: &Path) -> (DevicePlugin, Broker) {
    let limits = Limits {
        sessions: COUNT as usize,
        session_memory: 1 << 20,
        memory: 1 << 20,
    };
    let broker = Broker::new(directory.join("maps"), &directory.join("run"), limits);
    broker.publish(offers());
    let kubelet = Kubelet {
        device_plugins: directory.join("plugins"),
        pod_resources: directory.join("pod-resources.sock"),
    };
    let plugin = DevicePlugin::start(&kubelet, &directory.join("run"), COUNT, broker.clone());
    plugin.report(Health::Healthy);
    (plugin, broker)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kubelet_that_starts_is_told_and_follows_the_devices() {
    let node = Node::new();
    for _ in 0..3 {
        let mut kubelet = node.kubelet();
        let Registered { resource, version } = kubelet.registered().await;
        assert_eq!((&*resource, &*version), (RESOURCE, "v1beta1"));
        let mut devices = kubelet.follow().await;
        assert_eq!(devices.next().await, Some(vec!["Healthy".to_owned(); 3]));
        node.plugin.report(Health::Unhealthy("EPERM".into()));
        assert_eq!(devices.next().await, Some(vec!["Unhealthy".to_owned(); 3]));
        node.plugin.report(Health::Healthy);
        assert_eq!(devices.next().await, Some(vec!["Healthy".to_owned(); 3]));
        kubelet.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_forgets_the_plugin_is_told_again() {
    let node = Node::new();
    let mut kubelet = node.kubelet();
    kubelet.registered().await;
    drop(kubelet.follow().await);
    kubelet.registered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_hangs_up_or_talks_nonsense_is_told_when_it_comes_to_reason() {
    let node = Node::new();
    let socket = node.directory.path().join("plugins/kubelet.sock");
    for nonsense in [&b""[..], b"HTTP/1.1 400 no\r\n\r\n", &[0xff; 4096]] {
        let listener = UnixListener::bind(&socket).unwrap();
        let talked = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, nonsense)
        });
        talked.await.unwrap().unwrap();
        fs::remove_file(&socket).unwrap();
    }
    let mut kubelet = node.kubelet();
    kubelet.registered().await;
    kubelet.until(|| node.plugin.problem().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_plugin_of_another_keeps_its_place() {
    let node = Node::new();
    let socket = node.directory.path().join("plugins/stoq-afxdp.sock");
    let other = UnixListener::bind(&socket).unwrap();
    let mut kubelet = node.kubelet();
    let problem = || node.plugin.problem().unwrap_or_default();
    kubelet.until(|| problem().contains("use")).await;
    drop(other);
    kubelet.registered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_known_by_the_device_it_holds() {
    let node = Node::new();
    let mut kubelet = node.kubelet();
    kubelet.registered().await;
    let directory = kubelet.allocate(&["afxdp-1"]).await.unwrap();
    assert_eq!(directory, node.directory.path().join("run/devices/afxdp-1"));
    // Nobody is answered before the agent has the node.
    assert!(!directory.join("afxdp.sock").exists());
    node.plugin.open();
    kubelet
        .until(|| directory.join("afxdp.sock").exists())
        .await;

    kubelet.holds(&[]);
    assert_eq!(
        ask(&directory, ENDPOINT).await,
        Ok(Reason::Busy),
        "not known yet"
    );
    kubelet.holds(&[("edge", "afxdp-1"), ("other", "afxdp-2")]);
    // Its own endpoint is closed here: so far it came.
    assert_eq!(ask(&directory, ENDPOINT).await, Ok(Reason::NotSupported));
    assert_eq!(ask(&directory, OTHER).await, Ok(Reason::NotYours));
    kubelet.mute();
    assert_eq!(ask(&directory, ENDPOINT).await, Ok(Reason::Busy), "silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_given_anew_is_another_directory() {
    let node = Node::new();
    node.plugin.open();
    let mut kubelet = node.kubelet();
    kubelet.registered().await;
    let directory = kubelet.allocate(&["afxdp-0"]).await.unwrap();
    // As a pod's mount does, this holds on to the directory, not its name.
    let mount = fs::File::open(&directory).unwrap();
    let mounted = || pod::through(&mount);
    kubelet.holds(&[("edge", "afxdp-0")]);
    assert_eq!(ask(&mounted(), ENDPOINT).await, Ok(Reason::NotSupported));
    let waiting = pod::connect(&mounted()).unwrap();

    assert_eq!(kubelet.allocate(&["afxdp-0"]).await.unwrap(), directory);
    kubelet.holds(&[("other", "afxdp-0")]);
    assert_eq!(
        ask(&directory, OTHER).await,
        Ok(Reason::NotSupported),
        "the new pod"
    );
    assert!(ask(&mounted(), OTHER).await.is_err(), "the old one");
    assert!(pod::say(&waiting, OTHER).await.is_err(), "connected before");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_outlive_the_agent_as_long_as_a_pod_holds_them() {
    let mut node = Node::new();
    let mut kubelet = node.kubelet();
    kubelet.registered().await;
    let held = kubelet.allocate(&["afxdp-0"]).await.unwrap();
    let left = kubelet.allocate(&["afxdp-1"]).await.unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&held);

    kubelet.stop();
    node.restart_agent();
    let kubelet = node.kubelet();
    kubelet.holds(&[("edge", "afxdp-0")]);
    node.plugin.directories.open();
    node.plugin
        .directories
        .sweep(Duration::from_millis(1))
        .await;
    assert_eq!(inode(&held), before);
    assert_eq!(ask(&held, ENDPOINT).await, Ok(Reason::NotSupported));
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_there_is_not_is_not_given() {
    let node = Node::new();
    let mut kubelet = node.kubelet();
    kubelet.registered().await;
    for id in ["afxdp-3", "../../etc", ""] {
        assert!(kubelet.allocate(&[id]).await.is_err(), "{id}");
    }
    assert!(!node.directory.path().join("run").exists());
    let both = kubelet.allocate(&["afxdp-2", "afxdp-1"]).await.unwrap();
    assert!(both.ends_with("afxdp-2"), "one mount for a container");
}
