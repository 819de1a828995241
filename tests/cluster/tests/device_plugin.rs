//! Pods that ask for `stoq.io/afxdp` get AF_XDP from a real kubelet, each its own, and others do not.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[path = "support/scene.rs"]
mod scene;

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use scene::{SOON, cluster, get, is, plain, transport, wait_transport};
use serde_json::json;
use stoq_cluster::stoq::{self, NAMESPACE, Program};
use stoq_cluster::{Cluster, images, turn};
use stoq_ebpf::af_xdp::{Geometry, Rings};
use stoq_ebpf::broker::{Hello, Message, Reason, Refused, receive, send};
use stoq_lab::transport::{Costs, LoadReport};
use stoq_lab::{Process, tool, wait_for};

const PORT: u16 = 4433;
/// What a pod asks for that wants a socket.
const AF_XDP: &str = "stoq.io/afxdp: 1";
/// A request answered later than that, in us, was held up.
const ANSWERED: f64 = 1e6;
/// Where a pod has its broker.
const SOCKET: &str = "run/stoq/afxdp.sock";

#[test]
fn who_asks_for_the_resource_receives_by_af_xdp_and_others_by_udp() {
    let name = "who_asks_for_the_resource_receives_by_af_xdp_and_others_by_udp";
    let Some(_turn) = turn(name) else {
        return;
    };
    let cluster = cluster(plain(2));
    let quic = json!({"ports": [{"port": PORT}]});
    cluster.apply(&transport("edge", PORT, &quic)).unwrap();
    for (name, limits) in [("edge", AF_XDP), ("other", AF_XDP), ("plain", "")] {
        cluster.apply(&server(name, limits)).unwrap();
    }
    let [edge, other, plain] = ["edge", "other", "plain"].map(|name| Pod::of(&cluster, name));
    wait_transport(&cluster, "edge", "guarded pods", |status| {
        (status["pods"] == 3 && is(status, "Ready", "True")).then_some(())
    });

    edge.accelerated();
    let costs = plain.report(plain.load("bulk", 1)).server;
    assert_eq!(costs.by_af_xdp, 0, "{costs:?}");
    assert!(costs.by_udp > 0);
    let look = ["exec", "plain", "--", "ls", "/run/stoq"];
    assert!(cluster.kubectl(&look).is_err(), "no mount");

    each_has_its_own(&edge, &other);

    cluster.node("node-a").unwrap().restart_kubelet().unwrap();
    cluster.wait_ready().unwrap();
    edge.accelerated();
    wait_registered(&cluster);
    cluster.apply(&server("late", AF_XDP)).unwrap();
    Pod::of(&cluster, "late").accelerated();
    over_a_roll(&edge);
    edge.accelerated();
}

/// A pod that serves QUIC, by AF_XDP if it is given a socket.
fn server(name: &str, limits: &str) -> String {
    let text = include_str!("device_plugin.yaml").replace("NAME", name);
    text.replace("LIMITS", limits)
}

/// Waits until the plugin has come to the kubelet of node-a, which counts from its own beginning:
/// what the API server says of devices may be older. A pod that comes before is refused for good.
fn wait_registered(cluster: &Cluster) {
    let registered = || {
        let metrics = ["get", "--raw", "/api/v1/nodes/node-a/proxy/metrics"];
        let said = cluster.kubectl(&metrics).ok()?;
        said.contains("kubelet_device_plugin_registration_total{")
            .then_some(())
    };
    wait_for("the plugin at the kubelet", SOON, registered).unwrap();
}

/// What another pod's processes could try, and what root could on their behalf.
fn each_has_its_own(edge: &Pod<'_>, other: &Pod<'_>) {
    let refused = |socket: &Path, endpoint, reason| {
        let told = wait_for("this refusal", SOON, || {
            let Refused { reason: told, text } = ask(socket, endpoint);
            eprintln!("{}, {endpoint}: {told:?}, {text}", socket.display());
            (told == reason).then_some(())
        });
        told.unwrap();
    };
    refused(&other.socket(), edge.address, Reason::NotYours);
    refused(&edge.socket(), other.address, Reason::NotYours);
    // Both are served already.
    refused(&other.socket(), other.address, Reason::Busy);
    refused(&edge.socket(), edge.address, Reason::Busy);

    // Root in all namespaces of the other pod finds that pod's alone.
    let find = format!("ls -i /{SOCKET} /proc/[0-9]*/root/{SOCKET}");
    let mut enter = Command::new("nsenter");
    enter.args(["--target", &other.process().to_string(), "--all", "--root"]);
    let found = tool::run(enter.args(["--", "/bin/sh", "-c", &find])).unwrap();
    let mut inodes: Vec<_> = found.split_whitespace().step_by(2).collect();
    inodes.dedup();
    let inode = |pod: &Pod<'_>| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(pod.socket()).unwrap().ino().to_string()
    };
    assert_eq!(inodes, [inode(other)], "{found}");
    assert_ne!(inode(edge), inode(other));
}

/// Requests are answered by AF_XDP while every agent is replaced.
fn over_a_roll(edge: &Pod<'_>) {
    let agent = || {
        let field = "--field-selector=spec.nodeName=node-a,status.phase=Running";
        let uid = "--output=jsonpath={.items[*].metadata.uid}";
        let pods = [
            "-n",
            NAMESPACE,
            "get",
            "pods",
            "--selector=app.kubernetes.io/name=stoq-agent",
            field,
            uid,
        ];
        edge.cluster.kubectl(&pods).unwrap()
    };
    let before = agent();
    let (begun, seconds) = (Instant::now(), 20);
    let load = edge.load("rpc", seconds);
    let restart = [
        "-n",
        NAMESPACE,
        "rollout",
        "restart",
        Program::Agent.workload(),
    ];
    edge.cluster.kubectl(&restart).unwrap();
    stoq::wait_rolled_out(edge.cluster, Program::Agent).unwrap();
    assert_ne!(agent(), before);
    assert!(
        begun.elapsed() < Duration::from_secs(seconds.into()),
        "after the load"
    );
    let report = edge.report(load);
    let (costs, requests) = (&report.server, &report.requests);
    println!(
        "over a roll: {} by AF_XDP, {} by UDP; {requests:?}",
        costs.by_af_xdp, costs.by_udp
    );
    // One after the other: a question that waits for a new agent would be far slower.
    assert!(requests.max < ANSWERED, "{report:?}");
    // One a second of each flow comes by UDP.
    assert!(costs.by_af_xdp > 9 * costs.by_udp, "{report:?}");
}

/// Why nothing is granted at a socket.
fn ask(path: &Path, endpoint: SocketAddr) -> Refused {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    let hello = Hello {
        endpoint,
        geometry: Geometry::new(64, 2048).unwrap(),
        rings: Rings {
            fill: 64,
            receive: 64,
        },
    };
    send(socket.as_fd(), &Message::Hello(hello), &[]).unwrap();
    match receive(socket.as_fd()).unwrap() {
        (Message::Refused(refused), _) => refused,
        granted => panic!("{endpoint} at {}: {granted:?}", path.display()),
    }
}

/// A pod that serves QUIC.
struct Pod<'a> {
    cluster: &'a Cluster,
    name: &'a str,
    address: SocketAddr,
}

impl<'a> Pod<'a> {
    /// One that is applied, once it runs.
    fn of(cluster: &'a Cluster, name: &'a str) -> Self {
        let pod = format!("pod/{name}");
        let ready = ["wait", "--for=condition=Ready", &pod, "--timeout=90s"];
        if let Err(error) = cluster.kubectl(&ready) {
            panic!("{error:#}\n{}", scene::story(cluster, "edge"));
        }
        let ip = get(cluster, "pod", name)["status"]["podIP"].clone();
        let address = SocketAddr::new(ip.as_str().unwrap().parse().unwrap(), PORT);
        Self {
            cluster,
            name,
            address,
        }
    }

    /// The server's process, as the host knows it.
    fn process(&self) -> u32 {
        let uid = get(self.cluster, "pod", self.name)["metadata"]["uid"].clone();
        let is = |process: &Path, file: &str, words: &str| {
            fs::read_to_string(process.join(file)).is_ok_and(|text| text.contains(words))
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let server = numbers.find(|number: &u32| {
            let process = PathBuf::from(format!("/proc/{number}"));
            is(&process, "cgroup", uid.as_str().unwrap()) && is(&process, "comm", "lab")
        });
        server.unwrap()
    }

    /// Its broker's socket, as root of the host reaches it.
    fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/{SOCKET}", self.process()))
    }

    /// Starts some seconds of QUIC from the client.
    fn load(&self, work: &str, seconds: u32) -> Process {
        let identity = ["exec", self.name, "--", "cat", "/tmp/id/ca.pem"];
        let authority = self.cluster.control_plane.directory().join("ca.pem");
        // A kubelet that has just begun knows no pods yet.
        let told = || self.cluster.kubectl(&identity).ok();
        fs::write(&authority, wait_for("the authority", SOON, told).unwrap()).unwrap();
        let mut lab = self.cluster.client.command(images::built("lab").unwrap());
        lab.args(["stoq-load", "--library", "stoq", "--work", work]);
        lab.arg(format!("--seconds={seconds}"));
        lab.arg(format!("--target={}", self.address));
        Process::start(lab.arg("--ca").arg(authority)).unwrap()
    }

    fn report(&self, load: Process) -> LoadReport {
        let report = load.report::<LoadReport>(SOON);
        report.unwrap_or_else(|error| panic!("{error:#}\n{}", scene::story(self.cluster, "edge")))
    }

    /// Waits until most of what comes to it comes by AF_XDP.
    fn accelerated(&self) {
        let accelerated = wait_for("packets by AF_XDP", SOON, || {
            let costs: Costs = self.report(self.load("bulk", 1)).server;
            let (by_af_xdp, by_udp) = (costs.by_af_xdp, costs.by_udp);
            eprintln!("{}: {by_af_xdp} by AF_XDP, {by_udp} by UDP", self.name);
            (by_af_xdp > by_udp).then_some(())
        });
        accelerated
            .unwrap_or_else(|error| panic!("{error:#}\n{}", scene::story(self.cluster, "edge")));
    }
}
