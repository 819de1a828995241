//! Operators as processes, with the rights of their service account, and a cluster that is played.
#![allow(dead_code, reason = "each test needs a part")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use stoq_cluster::ControlPlane;
use stoq_crds::api::{StoqNode, StoqTransport, StoqTransportStatus};
use stoq_lab::{Process, wait_for};

/// How long anything may take on a machine that does other things.
pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const NAMESPACE: &str = "default";

/// A control plane on which STOQ's objects and the operator's rights are there.
pub(crate) struct Stage {
    pub(crate) control_plane: ControlPlane,
    pub(crate) client: Client,
    kubeconfig: PathBuf,
}

/// A running operator.
pub(crate) struct Operator {
    pub(crate) process: Process,
    http: u16,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let control_plane = ControlPlane::start().unwrap();
        control_plane.apply_stoq().unwrap();
        let account = ["-n", "stoq-system", "create", "token", "stoq-operator"];
        let token = wait_for("token", SOON, || control_plane.kubectl(&account).ok()).unwrap();
        let admin = fs::read_to_string(control_plane.kubeconfig()).unwrap();
        let kubeconfig = control_plane.directory().join("operator.kubeconfig");
        fs::write(&kubeconfig, with_token(&admin, token.trim())).unwrap();
        Self {
            client: control_plane.client().await.unwrap(),
            control_plane,
            kubeconfig,
        }
    }

    /// Starts one of this name.
    pub(crate) fn operator(&self, name: &str, options: &[&str]) -> Operator {
        let log = self
            .control_plane
            .directory()
            .join(format!("operator-{name}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let http = free_port();
        let mut command = Command::new(binary());
        command.env("KUBECONFIG", &self.kubeconfig).stderr(log);
        command.args([
            "run",
            "--name",
            name,
            "--http",
            &format!("127.0.0.1:{http}"),
        ]);
        let process = Process::start(command.args(options)).unwrap();
        Operator { process, http }
    }

    pub(crate) fn transports(&self) -> Api<StoqTransport> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Makes a transport for the pods of an app.
    pub(crate) async fn transport(&self, name: &str, app: &str, port: u16) {
        let object = json!({
            "apiVersion": "stoq.io/v1alpha1", "kind": "StoqTransport",
            "metadata": {"name": name},
            "spec": {"podSelector": {"matchLabels": {"app": app}}, "ports": [{"port": port}]},
        });
        let object = serde_json::from_value(object).unwrap();
        self.transports()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Makes a pod of an app that runs on a node.
    pub(crate) async fn pod(&self, name: &str, app: &str, node: &str, ip: &str) {
        let pods = Api::<Pod>::namespaced(self.client.clone(), NAMESPACE);
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "a", "image": "a"}]},
        });
        let pod = serde_json::from_value(pod).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}});
        merge_status(&pods, name, &status).await;
    }

    /// Makes a node with an address.
    pub(crate) async fn node(&self, name: &str, ip: &str) {
        let nodes = Api::<Node>::all(self.client.clone());
        // As kubelets make them: with a status from the beginning.
        let node = json!({
            "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": ip}]},
        });
        let node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }

    /// Says for the agent of a node what is in force there; makes its StoqNode at first.
    pub(crate) async fn report(&self, node: &str, transports: &[Value]) {
        let nodes = Api::<StoqNode>::all(self.client.clone());
        if nodes.get_opt(node).await.unwrap().is_none() {
            let object = serde_json::from_value(json!({
                "apiVersion": "stoq.io/v1alpha1", "kind": "StoqNode",
                "metadata": {"name": node}, "spec": {},
            }));
            nodes
                .create(&PostParams::default(), &object.unwrap())
                .await
                .unwrap();
        }
        merge_status(&nodes, node, &json!({"status": status(transports)})).await;
    }

    /// Waits until the status of a transport is as wanted.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&StoqTransportStatus) -> bool,
    ) -> StoqTransportStatus {
        let deadline = Instant::now() + SOON;
        loop {
            let found = self.transports().get(name).await.unwrap().status;
            match found {
                Some(found) if wanted(&found) => return found,
                found => assert!(Instant::now() < deadline, "{name}: not {what}: {found:#?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Operator {
    /// A page, once it answers.
    pub(crate) fn page(&self, path: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        };
        wait_for(path, SOON, ask).unwrap()
    }

    /// Samples by series.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let page = self.page("/metrics");
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| line.rsplit_once(' '));
        let samples =
            samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        samples.collect()
    }

    /// Writes to the API server so far, of one kind or of all.
    pub(crate) fn writes(&self, kind: &str) -> f64 {
        let metrics = self.metrics();
        let writes = metrics.iter().filter(|(name, _)| {
            name.starts_with("stoq_operator_writes_total") && name.contains(kind)
        });
        writes.map(|(_, value)| value).sum()
    }
}

/// What an agent says of itself and these transports.
pub(crate) fn status(transports: &[Value]) -> Value {
    json!({
        "reportedAt": Timestamp::now().to_string(),
        "agentVersion": "0.1.0",
        "kernel": "6.18.0",
        "gates": [
            {"name": "xdp-native", "state": "Available"}, {"name": "tcx", "state": "Available"},
            {"name": "af-xdp", "state": "Unavailable", "reason": "PermissionDenied", "message": "EPERM"},
        ],
        "transports": transports,
    })
}

/// A transport in native XDP, with a sample of its traffic.
pub(crate) fn native(name: &str, packets: i64) -> Value {
    json!({
        "namespace": NAMESPACE, "name": name, "generation": 1, "pods": 1, "ready": true,
        "degraded": false, "mode": "Native", "reason": "Native", "afXdp": 0,
        "since": "2026-01-01T00:00:00Z",
        "traffic": {
            "packetsPerSecond": packets, "bitsPerSecond": packets * 9600, "droppedPerSecond": 0,
            "connections": 1, "rttP50": "1.25ms", "sampledAt": Timestamp::now().to_string(),
        },
    })
}

/// The same on TCX, in the kernel's words.
pub(crate) fn tcx(name: &str) -> Value {
    let mut said = native(name, 5);
    said["mode"] = json!("Tcx");
    said["degraded"] = json!(true);
    said["reason"] = json!("MtuTooLarge");
    said["message"] = json!("eth0: ERANGE: Peer MTU is too large to set XDP");
    said
}

/// A condition as `True Ready`, and since when.
pub(crate) fn condition(status: &StoqTransportStatus, about: &str) -> (String, Option<Condition>) {
    let found = status.conditions.iter().find(|one| one.type_ == about);
    let words = found.map(|one| format!("{} {}", one.status, one.reason));
    (words.unwrap_or_default(), found.cloned())
}

pub(crate) fn is(status: &StoqTransportStatus, about: &str, words: &str) -> bool {
    condition(status, about).0 == words
}

pub(crate) async fn merge_status<K>(api: &Api<K>, name: &str, status: &Value)
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = PatchParams::default();
    api.patch_status(name, &params, &Patch::Merge(status))
        .await
        .unwrap();
}

fn with_token(kubeconfig: &str, token: &str) -> String {
    let lines = kubeconfig
        .lines()
        .map(|line| match line.contains("{token: ") {
            true => format!("  user: {{token: \"{token}\"}}\n"),
            false => format!("{line}\n"),
        });
    lines.collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn binary() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.ancestors().nth(2).unwrap().join("stoq-operator");
    assert!(path.is_file(), "no operator: cargo build -p stoq-operator");
    path
}

/// Resident memory of a process and its highest so far, bytes.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |word: &str| {
        let line = status.lines().find(|line| line.starts_with(word)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    };
    (value("VmRSS:"), value("VmHWM:"))
}
