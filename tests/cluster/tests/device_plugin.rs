//! Pods that ask for `stoq.io/afxdp` get AF_XDP from a real kubelet, others do not.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use stoq_cluster::{Cluster, Node, turn};
use stoq_lab::transport::{Costs, LoadReport};
use stoq_lab::{Process, peers, tool, wait_for};

const SOON: Duration = Duration::from_secs(60);
const PORT: u16 = 4433;
const TRANSPORT: &str = "{apiVersion: stoq.io/v1alpha1, kind: StoqTransport, \
    metadata: {namespace: default, name: edge}, \
    spec: {podSelector: {matchLabels: {app: edge}}, ports: [{port: 4433, protocol: QUIC}]}}";

/// A cluster with an agent on its first node, which reads files.
struct Stage {
    cluster: Cluster,
    agent: Option<Process>,
}

impl Stage {
    fn set() -> Self {
        let cluster = Cluster::start(2).unwrap();
        let mut stage = Self {
            cluster,
            agent: None,
        };
        fs::create_dir_all(stage.objects()).unwrap();
        stage.start_agent();
        stage
    }

    fn node(&self) -> &Node {
        self.cluster.node("node-a").unwrap()
    }

    fn objects(&self) -> PathBuf {
        self.cluster.control_plane.directory().join("objects")
    }

    fn log(&self) -> PathBuf {
        self.cluster.control_plane.directory().join("agent.log")
    }

    fn start_agent(&mut self) {
        let binary = peers::binary().unwrap().with_file_name("stoq-agent");
        let mut command = self.node().command(binary.to_str().unwrap()).unwrap();
        command.arg("run").arg("--standalone").arg(self.objects());
        command.args(["--uplink", "uplink0", "--afxdp-sessions", "4"]);
        command.args(["--device-plugins", "/var/lib/kubelet/device-plugins"]);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log());
        self.agent = Some(Process::start(command.stderr(log.unwrap())).unwrap());
    }

    /// SIGKILL, by the process id that the agent says it has on its node.
    fn kill_agent(&mut self) {
        let status = self.node().exec(&["cat", "/run/stoq/status.json"]).unwrap();
        let status: Value = serde_json::from_str(&status).unwrap();
        let pid = status["pid"].to_string();
        self.node().exec(&["kill", "-KILL", &pid]).unwrap();
        self.agent.take().unwrap().wait(SOON).unwrap();
    }

    fn allocatable(&self, node: &str) -> String {
        let path = r"--output=jsonpath={.status.allocatable.stoq\.io/afxdp}";
        self.cluster.kubectl(&["get", "node", node, path]).unwrap()
    }

    fn wait<T>(&self, what: &str, answer: impl FnMut() -> Option<T>) -> T {
        wait_for(what, SOON, answer).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            panic!("{error:#}\n{log}")
        })
    }

    /// Waits until the pod runs, and tells the agent of it.
    fn pod(&self, name: &str) -> SocketAddr {
        let pod = format!("pod/{name}");
        let ready = ["wait", "--for=condition=Ready", &pod, "--timeout=60s"];
        self.cluster.kubectl(&ready).unwrap();
        let object = self.cluster.kubectl(&["get", &pod, "--output=json"]);
        let object = object.unwrap();
        self.put(name, &object);
        let object: Value = serde_json::from_str(&object).unwrap();
        let address = object["status"]["podIP"].as_str().unwrap();
        SocketAddr::new(address.parse().unwrap(), PORT)
    }

    fn put(&self, name: &str, object: &str) {
        let fresh = self.objects().with_file_name("fresh");
        fs::write(&fresh, object).unwrap();
        fs::rename(fresh, self.objects().join(name).with_extension("yaml")).unwrap();
    }

    /// A second of QUIC from the client; how the pod took it in.
    fn load(&self, name: &str, pod: SocketAddr) -> Costs {
        let identity = ["exec", name, "--", "cat", "/tmp/id/ca.pem"];
        let authority = self.cluster.control_plane.directory().join("ca.pem");
        // A kubelet that has just begun knows no pods yet.
        let told = || self.cluster.kubectl(&identity).ok();
        fs::write(&authority, wait_for("the authority", SOON, told).unwrap()).unwrap();
        let mut command: Command = self.cluster.client.command(peers::binary().unwrap());
        command.args(["stoq-load", "--library", "stoq", "--work", "bulk"]);
        command
            .args(["--target", &pod.to_string(), "--ca"])
            .arg(authority);
        let report: LoadReport = serde_json::from_str(&tool::run(&mut command).unwrap()).unwrap();
        assert!(report.arrived > 0, "{report:?}");
        report.server
    }

    /// Waits until most of what comes to the pod comes by AF_XDP.
    fn accelerated(&self, name: &str, pod: SocketAddr) {
        self.wait(&format!("AF_XDP in {name}"), || {
            let costs = self.load(name, pod);
            eprintln!(
                "{name}: {} by AF_XDP, {} by UDP",
                costs.by_af_xdp, costs.by_udp
            );
            (costs.by_af_xdp > costs.by_udp).then_some(())
        });
    }
}

#[test]
fn who_asks_for_the_resource_receives_by_af_xdp_and_others_by_udp() {
    let name = "who_asks_for_the_resource_receives_by_af_xdp_and_others_by_udp";
    let Some(_turn) = turn(name) else {
        return;
    };
    let mut stage = Stage::set();
    stage.wait("devices", || {
        (stage.allocatable("node-a") == "4").then_some(())
    });
    assert_eq!(stage.allocatable("node-b"), "");
    stage.put("transport", TRANSPORT);
    let pods = include_str!("device_plugin.yaml");
    stage.cluster.apply(pods).unwrap();
    let [edge, plain] = ["edge", "plain"].map(|name| stage.pod(name));

    stage.accelerated("edge", edge);
    let costs = stage.load("plain", plain);
    assert_eq!(costs.by_af_xdp, 0, "{costs:?}");
    assert!(costs.by_udp > 0);
    let look = ["exec", "plain", "--", "ls", "/run/stoq"];
    assert!(stage.cluster.kubectl(&look).is_err(), "no mount");
    stage.node().restart_kubelet().unwrap();
    stage.cluster.wait_ready().unwrap();
    stage.wait("devices again", || {
        (stage.allocatable("node-a") == "4").then_some(())
    });
    stage.accelerated("edge", edge);

    stage.kill_agent();
    fs::remove_file(stage.log()).unwrap();
    stage.start_agent();
    stage.wait("the pod's session", || {
        let log = fs::read_to_string(stage.log()).ok()?;
        log.contains("caller=pod default/edge").then_some(())
    });
    stage.accelerated("edge", edge);
}
