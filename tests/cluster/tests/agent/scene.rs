//! A node of namespaces whose agent follows a real API server; no kubelet is there, so the test says
//! what pods there are.
#![allow(unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use stoq_cluster::proxy::Proxy;
use stoq_cluster::{ControlPlane, topology};
use stoq_lab::{Lab, LabOptions, Pod, pod_yaml, wait_for};

use crate::agent::{Agent, HTTP, binary};
use crate::guarded::give_denied_sources;

/// How long anything may take on a loaded machine.
pub const SOON: Duration = Duration::from_secs(60);
const NODE: &str = "node";

pub struct Scene {
    // Before the namespaces that it leads from and to.
    _proxy: Proxy,
    pub lab: Lab,
    pub cluster: ControlPlane,
}

impl Scene {
    /// The cluster knows the node, the routed pod on it, and the agent's rights.
    pub fn set() -> Self {
        let cluster = ControlPlane::start().unwrap();
        let lab = Lab::up(LabOptions::default()).unwrap();
        give_denied_sources(&lab);
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        for crd in ["stoqtransports", "stoqnodes"] {
            let text = fs::read_to_string(crds.join(format!("{crd}.yaml"))).unwrap();
            cluster.apply(&text).unwrap();
            let name = format!("crd/{crd}.stoq.io");
            cluster
                .kubectl(&["wait", "--for=condition=Established", &name])
                .unwrap();
        }
        cluster.apply(include_str!("scene.yaml")).unwrap();
        let rights = include_str!("../../../../deploy/20-rbac.yaml");
        cluster.apply(rights).unwrap();
        let proxy = || Proxy::start(cluster.netns(), topology::API);
        let proxy = lab.node.run(proxy).unwrap().unwrap();
        write_kubeconfig(&lab, &cluster, &proxy);
        let scene = Self {
            _proxy: proxy,
            lab,
            cluster,
        };
        scene.run_pod(Pod::Routed);
        scene
    }

    /// As a kubelet says it: bound to the node, running, with its addresses.
    pub fn run_pod(&self, pod: Pod) {
        let account = ["-n", "lab", "get", "serviceaccount", "default"];
        wait_for("service account", SOON, || {
            self.cluster.kubectl(&account).ok()
        })
        .unwrap();
        self.cluster.apply(&pod_yaml(pod)).unwrap();
        let status: Value = serde_yaml::from_str(&pod_yaml(pod)).unwrap();
        let patch = serde_json::json!({ "status": status["status"] }).to_string();
        let arguments = [
            "-n",
            "lab",
            "patch",
            "pod",
            pod.name(),
            "--subresource=status",
        ];
        let patch = [&arguments[..], &["--type=merge", "-p", &patch]].concat();
        self.cluster.kubectl(&patch).unwrap();
    }

    /// The agent of the node, in its namespace, with a service account's rights.
    pub fn agent(&self) -> Agent<'_> {
        Agent::spawn(&self.lab, &mut self.command())
    }

    fn command(&self) -> Command {
        let uid = ["get", "node", NODE, "-o", "jsonpath={.metadata.uid}"];
        let uid = self.cluster.kubectl(&uid).unwrap_or_default();
        let mut command = self.lab.node.command(binary().unwrap());
        command.args(["run", "--uplink", "uplink0", "--http", HTTP]);
        command
            .arg("--run-dir")
            .arg(self.lab.directory().join("run"));
        command.arg("--bpffs").arg(self.lab.bpffs());
        command.env("KUBECONFIG", self.lab.directory().join("kubeconfig"));
        command.env("NODE_NAME", NODE).env("NODE_UID", uid);
        command
    }

    /// Waits until this is so of the node's StoqNode; how long it took.
    pub fn wait_node(&self, what: &str, holds: impl Fn(&Value) -> Option<bool>) -> Duration {
        let began = Instant::now();
        let held = wait_for(what, SOON, || (holds(&self.node()?)?).then_some(()));
        held.unwrap_or_else(|error| panic!("{error}\n{:#}", self.node().unwrap_or_default()));
        began.elapsed()
    }

    /// The StoqNode.
    pub fn node(&self) -> Option<Value> {
        let text = self
            .cluster
            .kubectl(&["get", "stoqnode", NODE, "-o", "json"]);
        serde_json::from_str(&text.ok()?).ok()
    }

    /// Asks for a pause of the node, or for its end.
    pub fn pause(&self, paused: bool) {
        let patch = format!("{{\"spec\":{{\"paused\":{paused}}}}}");
        let patch = ["patch", "stoqnode", NODE, "--type=merge", "-p", &patch];
        self.cluster.kubectl(&patch).unwrap();
    }

    /// Says of the transport `edge`, as the operator does, whether it is accepted.
    pub fn accept(&self, status: &str, reason: &str) {
        let of = ["-n", "lab", "get", "stq", "edge", "-o", "json"];
        let edge: Value = serde_json::from_str(&self.cluster.kubectl(&of).unwrap()).unwrap();
        let condition = serde_json::json!({
            "type": "Accepted",
            "status": status,
            "reason": reason,
            "message": "said by a test",
            "observedGeneration": edge["metadata"]["generation"],
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let patch = serde_json::json!({"status": {"conditions": [condition]}}).to_string();
        let edge = ["-n", "lab", "patch", "stq", "edge", "--subresource=status"];
        let patch = [&edge[..], &["--type=merge", "-p", &patch]].concat();
        self.cluster.kubectl(&patch).unwrap();
    }

    /// Waits until nothing of STOQ is pinned on the node.
    pub fn assert_nothing_left(&self) {
        let pins = self.lab.bpffs().join("stoq");
        wait_for("nothing of STOQ", SOON, || (!pins.exists()).then_some(())).unwrap();
        let links = self.lab.node.ip("-d link show uplink0").unwrap();
        assert!(!links.contains("xdp"), "{links}");
    }
}

/// The administrator's, with the address inside the node and the agent's token.
fn write_kubeconfig(lab: &Lab, cluster: &ControlPlane, proxy: &Proxy) {
    let token = ["-n", "stoq-system", "create", "token", "stoq-agent"];
    let token = cluster.kubectl(&token).unwrap();
    let admin = fs::read_to_string(cluster.kubeconfig()).unwrap();
    let (there, here) = (cluster.address().to_string(), proxy.address().to_string());
    let text = admin.replace(&there, &here);
    let lines = text.lines().map(
        |line| match line.trim_start().strip_prefix("user: {token:") {
            Some(_) => format!("  user: {{token: {:?}}}", token.trim()),
            None => line.to_owned(),
        },
    );
    let lines: Vec<_> = lines.collect();
    fs::write(lab.directory().join("kubeconfig"), lines.join("\n")).unwrap();
}
