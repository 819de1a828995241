//! Two nodes come up, their pods and Services are reached, and they survive what nodes must.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use stoq_cluster::{Cluster, ClusterOptions, Cni, NodeOptions, ProxyMode, kube_binary, turn};
use stoq_lab::{echo, tool, wait_for};

const SOON: Duration = Duration::from_secs(30);
const PORT: u16 = 9000;
const NODE_PORT: u16 = 30_900;

#[test]
fn pods_reach_each_other_and_a_client_reaches_them_at_a_node_port() {
    let Some(_turn) = turn("pods_reach_each_other_and_a_client_reaches_them_at_a_node_port") else {
        return;
    };
    let cluster = Cluster::start(2).unwrap();
    assert_everything_answers(&cluster);
}

#[test]
fn they_do_behind_a_bridge_and_iptables() {
    let Some(_turn) = turn("they_do_behind_a_bridge_and_iptables") else {
        return;
    };
    let options = ClusterOptions {
        nodes: vec![NodeOptions::default(); 2],
        cni: Cni::Bridged,
        proxy: ProxyMode::Iptables,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start_with(options).unwrap();
    assert_everything_answers(&cluster);
}

#[test]
fn pods_outlive_kubelet_and_containerd_and_come_back_after_power_loss() {
    let Some(_turn) = turn("pods_outlive_kubelet_and_containerd_and_come_back_after_power_loss")
    else {
        return;
    };
    let cluster = Cluster::start(2).unwrap();
    let pods = echo_pods(&cluster);
    let node = cluster.node("node-a").unwrap();
    node.restart_kubelet().unwrap();
    node.restart_containerd().unwrap();
    cluster.wait_ready().unwrap();
    ask_from_client(&cluster, (pods[0].address, PORT));
    assert_eq!(echo_pods(&cluster), pods, "the same pods");

    node.kill();
    assert!(node.exec(&["true"]).is_err(), "down");
    node.start().unwrap();
    wait_for("a pod after the boot", SOON, || {
        let pod = pods_of(&cluster)
            .into_iter()
            .find(|pod| pod.node == "node-a")?;
        (pod.ready && pod.restarts > 0).then_some(())
    })
    .unwrap();
    ask_from_client(&cluster, (node.address(), NODE_PORT));
}

#[test]
fn a_node_can_lack_a_bpffs_and_have_another_mtu() {
    let Some(_turn) = turn("a_node_can_lack_a_bpffs_and_have_another_mtu") else {
        return;
    };
    let odd = NodeOptions {
        bpffs: false,
        mtu: 9000,
    };
    let options = ClusterOptions {
        nodes: vec![odd, NodeOptions::default()],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start_with(options).unwrap();
    let facts = |name| {
        let node = cluster.node(name).unwrap();
        let kind = node.exec(&["stat", "-f", "-c", "%T", "/sys/fs/bpf"]);
        let mtu = node.exec(&["cat", "/sys/class/net/uplink0/mtu"]);
        [kind.unwrap(), mtu.unwrap()].map(|word| word.trim().to_owned())
    };
    assert_eq!(facts("node-a"), ["sysfs", "9000"]);
    assert_eq!(facts("node-b"), ["bpf_fs", "1500"]);
}

/// Pods across nodes, pods from the client, and a NodePort on each node.
fn assert_everything_answers(cluster: &Cluster) {
    let pods = echo_pods(cluster);
    let nodes: Vec<_> = pods.iter().map(|pod| pod.node.as_str()).collect();
    assert_eq!(nodes, ["node-a", "node-b"]);
    let other = format!("{}:{PORT}", pods[1].address);
    let asked = ["exec", &pods[0].name, "--", "lab", "ask", &other];
    cluster.kubectl(&asked).unwrap();
    for pod in &pods {
        ask_from_client(cluster, (pod.address, PORT));
    }
    let kubeconfig = cluster.control_plane.kubeconfig_inside().unwrap();
    for node in cluster.nodes() {
        let mut kubectl = node
            .command(&kube_binary::path().display().to_string())
            .unwrap();
        kubectl.args(["kubectl", "--cache-dir=/run/kubectl-cache", "--kubeconfig"]);
        kubectl.arg(&kubeconfig);
        tool::run(kubectl.args(["get", "node", node.name()])).unwrap();
        ask_from_client(cluster, (node.address(), NODE_PORT));
    }
}

fn ask_from_client(cluster: &Cluster, echo: (Ipv4Addr, u16)) {
    let echo = SocketAddr::from(echo);
    cluster
        .client
        .run(|| echo::ask(echo, SOON))
        .unwrap()
        .unwrap();
}

#[derive(Debug, PartialEq, Eq)]
struct EchoPod {
    name: String,
    node: String,
    address: Ipv4Addr,
    ready: bool,
    restarts: u32,
}

/// The two pods of the echo, Ready, by the names of their nodes.
fn echo_pods(cluster: &Cluster) -> Vec<EchoPod> {
    cluster.apply(include_str!("echo.yaml")).unwrap();
    let rollout = ["rollout", "status", "deployment/echo", "--timeout=60s"];
    cluster.kubectl(&rollout).unwrap();
    pods_of(cluster)
}

fn pods_of(cluster: &Cluster) -> Vec<EchoPod> {
    let line = "{range .items[*]}{.metadata.name} {.spec.nodeName} {.status.podIP} \
        {.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}\n{end}";
    let output = format!("--output=jsonpath={line}");
    let said = cluster.kubectl(&["get", "pods", "--selector=app=echo", &output]);
    let mut pods: Vec<_> = said.unwrap().lines().filter_map(parse).collect();
    pods.sort_by(|a, b| a.node.cmp(&b.node));
    pods
}

fn parse(line: &str) -> Option<EchoPod> {
    let mut words = line.split(' ');
    Some(EchoPod {
        name: words.next()?.to_owned(),
        node: words.next()?.to_owned(),
        address: words.next()?.parse().ok()?,
        ready: words.next()?.parse().ok()?,
        restarts: words.next()?.parse().ok()?,
    })
}
