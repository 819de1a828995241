//! A cluster with STOQ on it, a service to be guarded, and clients of whom one is denied.
// Each test file that includes this one uses a part of it; clippy takes only the #[test] functions
// themselves for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use stoq_cluster::{Cluster, ClusterOptions, Node, images, stoq};
use stoq_lab::number::{NumberReceived, NumberSent};
use stoq_lab::process::Signal;
use stoq_lab::{Process, wait_for};

/// For what takes the machinery of a cluster some seconds, on a busy machine more.
pub const SOON: Duration = Duration::from_secs(90);
/// Where the echo listens, and the NodePort that leads there.
pub const ECHO: u16 = 9000;
/// See [`ECHO`].
pub const NODE_PORT: u16 = 30_900;
/// Where numbered packets are received.
pub const NUMBER: u16 = 5000;
/// A source that transports deny.
pub const DENIED: Ipv4Addr = Ipv4Addr::new(198, 18, 66, 6);

/// A cluster with STOQ installed.
pub fn cluster(options: ClusterOptions) -> Cluster {
    let cluster = Cluster::start_with(options).unwrap();
    stoq::install(&cluster).unwrap();
    cluster
}

/// A transport for the pods of an app; the fields of `spec` replace its own.
pub fn transport(name: &str, port: u16, spec: &Value) -> String {
    let mut all = json!({
        "podSelector": {"matchLabels": {"app": name}},
        "ports": [{"port": port, "protocol": "UDP"}],
        "filter": {"mode": "Enforce", "deny": [format!("{DENIED}/32")]},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        all[field] = value.clone();
    }
    object("stoq.io/v1alpha1", "StoqTransport", name, "spec", &all)
}

fn object(version: &str, kind: &str, name: &str, field: &str, value: &Value) -> String {
    json!({
        "apiVersion": version, "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, field: value,
    })
    .to_string()
}

/// What the API server has of an object.
pub fn get(cluster: &Cluster, kind: &str, name: &str) -> Value {
    let said = cluster.kubectl(&["get", kind, name, "--output=json"]);
    serde_json::from_str(&said.unwrap()).unwrap()
}

/// Waits until a transport says what is looked for.
pub fn wait_transport<T>(
    cluster: &Cluster,
    name: &str,
    what: &str,
    mut look: impl FnMut(&Value) -> Option<T>,
) -> T {
    let found = wait_for(what, SOON, || look(&get(cluster, "stq", name)["status"]));
    found.unwrap_or_else(|error| panic!("{error}\n{}", story(cluster, name)))
}

/// What STOQ and the cluster say of it all, for a test that failed.
pub fn story(cluster: &Cluster, transport: &str) -> String {
    let asked: [&[&str]; 5] = [
        &["describe", "stq", transport],
        &["get", "stoqnodes", "--output=yaml"],
        &["get", "pods", "--all-namespaces", "--output=wide"],
        &[
            "-n",
            "stoq-system",
            "logs",
            "daemonset/stoq-agent",
            "--tail=40",
        ],
        &[
            "-n",
            "stoq-system",
            "logs",
            "deployment/stoq-operator",
            "--tail=40",
        ],
    ];
    let said = asked.map(|words| {
        cluster
            .kubectl(words)
            .unwrap_or_else(|error| error.to_string())
    });
    said.join("\n")
}

/// The status of a condition.
pub fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind)
}

/// Whether a condition has this status.
pub fn is(status: &Value, kind: &str, value: &str) -> bool {
    condition(status, kind).is_some_and(|one| one["status"] == value)
}

/// Two echoes, one on each node; their addresses by the names of their nodes.
pub fn echoes(cluster: &Cluster) -> Vec<SocketAddr> {
    cluster.apply(include_str!("../echo.yaml")).unwrap();
    let rollout = ["rollout", "status", "deployment/echo", "--timeout=90s"];
    cluster.kubectl(&rollout).unwrap();
    let line = "{range .items[*]}{.spec.nodeName} {.status.podIP}\n{end}";
    let output = format!("--output=jsonpath={line}");
    let said = cluster.kubectl(&["get", "pods", "--selector=app=echo", &output]);
    let mut lines: Vec<_> = said.unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    let address = |line: &String| {
        let ip: Ipv4Addr = line.split(' ').nth(1).unwrap().parse().unwrap();
        SocketAddr::from((ip, ECHO))
    };
    lines.iter().map(address).collect()
}

/// A page of the agent that answers on a node now, if it is there and all is well.
pub fn page(node: &Node, name: &str) -> Option<String> {
    let page = format!("http://127.0.0.1:9465/{name}");
    node.exec(&["busybox", "wget", "-q", "-O", "-", &page]).ok()
}

/// How many pods of a node could have AF_XDP, as its kubelet says.
pub fn devices(cluster: &Cluster, node: &str) -> String {
    let devices = get(cluster, "node", node)["status"]["allocatable"]["stoq.io/afxdp"].clone();
    devices.as_str().unwrap_or_default().to_owned()
}

/// What all agents together have counted for a transport.
pub fn counted(cluster: &Cluster, metric: &str, transport: &str, label: &str) -> u64 {
    let transport = format!("transport=\"{transport}\"");
    let nodes = cluster.nodes().iter();
    nodes
        .map(|node| count(node, metric, &[&transport, label]))
        .sum()
}

/// The sum over all series of a node's agent that have these labels (`direction="in"`).
pub fn count(node: &Node, metric: &str, labels: &[&str]) -> u64 {
    let page = wait_for("metrics", SOON, || page(node, "metrics")).unwrap();
    let lines = page.lines().filter(|line| {
        let series = line.strip_prefix(metric);
        let is_it = series.is_some_and(|series| series.starts_with('{'));
        is_it && labels.iter().all(|label| line.contains(label))
    });
    let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    values.sum()
}

/// A pod to which packets are sent.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Its name, and that of its transport.
    pub name: &'a str,
    /// Where it runs.
    pub node: &'a str,
    /// Whether it receives by AF_XDP, without any privilege.
    pub af_xdp: bool,
}

/// What was sent and received.
pub struct Ended {
    /// By the honest source.
    pub honest: NumberSent,
    /// By the denied one.
    pub denied: NumberSent,
    /// By the pod.
    pub received: NumberReceived,
}

/// Numbered packets from an honest and from a denied source, to a pod that counts them.
pub struct Streams<'a> {
    cluster: &'a Cluster,
    name: String,
    honest: Process,
    denied: Process,
}

impl<'a> Streams<'a> {
    /// Starts them: `rate` honest packets a second, and a hundred denied ones. The pod's transport
    /// must be in force once it runs; `ready` waits for that.
    pub fn start(
        cluster: &'a Cluster,
        target: Target<'_>,
        rate: u64,
        seconds: u32,
        ready: impl FnOnce(),
    ) -> Self {
        let name = target.name;
        cluster.apply(&receiver(target)).unwrap();
        let pod = format!("pod/{name}");
        cluster
            .kubectl(&["wait", &pod, "--for=condition=Ready", "--timeout=90s"])
            .unwrap();
        let ip = get(cluster, "pod", name)["status"]["podIP"].clone();
        let to = format!("--target={}:{NUMBER}", ip.as_str().unwrap());
        ready();
        if target.af_xdp {
            wait_for("a socket", SOON, || {
                let said = cluster.kubectl(&["logs", name]).ok()?;
                said.contains("steered true").then_some(())
            })
            .unwrap_or_else(|error| panic!("{error}\n{}", story(cluster, name)));
        }
        let send = |options: &[&str]| {
            let mut lab = cluster.client.command(images::built("lab").unwrap());
            lab.args(["number-send", &to]).args(options);
            Process::start(&mut lab).unwrap()
        };
        let seconds = format!("--seconds={seconds}");
        let source = format!("--source={DENIED}");
        let denied = send(&[&seconds, "--rate=100", &source]);
        let honest = send(&[&seconds, &format!("--rate={rate}")]);
        Self {
            cluster,
            name: name.to_owned(),
            honest,
            denied,
        }
    }

    /// Ends them before their time.
    pub fn end(self) -> Self {
        for sender in [&self.honest, &self.denied] {
            sender.signal(Signal::TERM).unwrap();
        }
        self
    }

    /// Waits for their end: every honest packet has arrived, and no other.
    pub fn assert_whole_and_filtered(self, within: Duration) -> Ended {
        let sent: NumberSent = self.honest.report(within).unwrap();
        let denied: NumberSent = self.denied.report(SOON).unwrap();
        let look = || {
            let said = self.cluster.kubectl(&["logs", &self.name]).ok()?;
            serde_json::from_str(said.lines().last()?).ok()
        };
        let received: NumberReceived = wait_for("the receiver's report", SOON, look).unwrap();
        let through: Vec<_> = received.from(DENIED.into()).collect();
        assert!(through.is_empty(), "of {}: {through:?}", denied.sent);
        let [honest] = &received.streams[..] else {
            panic!("{received:?}");
        };
        let counts = (honest.received, honest.lost, honest.duplicated);
        assert_eq!(counts, (sent.sent, 0, 0), "{received:?}");
        println!(
            "{}: {} sent, {} of them by AF_XDP, 0 lost, longest gap {:.0} ms; of {} denied packets \
             none came through",
            self.name, sent.sent, received.by_af_xdp, honest.longest_gap_ms, denied.sent
        );
        Ended {
            honest: sent,
            denied,
            received,
        }
    }
}

/// A pod that ends, with its report in the log, when the honest stream has ended. It asks for processor time:
/// without, whatever else the machine does goes before it, and it loses packets of its own.
fn receiver(target: Target<'_>) -> String {
    let Target { name, node, af_xdp } = target;
    let receive = format!("exec lab number-recv --until-ended=1 --listen $POD_IP:{NUMBER}");
    let mut container = json!({
        "name": "receiver", "image": images::BOX, "command": ["sh", "-c", receive],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        // For a socket with room for all that comes while it is held up.
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
        "resources": {"requests": {"cpu": "500m"}},
    });
    if af_xdp {
        let receive = format!("{receive} --answer --af-xdp /run/stoq/afxdp.sock");
        container["command"] = json!(["sh", "-c", receive]);
        container["resources"]["limits"] = json!({"stoq.io/afxdp": 1});
        container["securityContext"] = json!({
            "runAsUser": 65534, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
        });
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node}, "restartPolicy": "Never",
            "dnsPolicy": "Default", "terminationGracePeriodSeconds": 0, "containers": [container],
        },
    })
    .to_string()
}

/// Nodes of the plain kind.
pub fn plain(nodes: usize) -> ClusterOptions {
    ClusterOptions {
        nodes: vec![stoq_cluster::NodeOptions::default(); nodes],
        ..ClusterOptions::default()
    }
}
