//! With which options the control plane's programs run.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::audit::Audit;
use crate::control_plane::Controllers;
use crate::credentials::Credentials;
use crate::kube_binary;
use crate::topology::{API, PODS, SERVICES};

/// Where etcd serves, on the control plane's loopback.
pub(crate) const ETCD: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2379);
const ETCD_PEERS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2380);

/// Controllers that leave nodes, and pods that only claim to run on them, alone.
const WITHOUT_NODES: &str = "garbage-collector-controller,namespace-controller,\
    serviceaccount-controller,root-ca-certificate-publisher-controller,daemonset-controller,\
    deployment-controller,replicaset-controller,endpointslice-controller,\
    validatingadmissionpolicy-status-controller,clusterrole-aggregation-controller";

/// One member, which elects itself at once and never waits for the disk.
pub(crate) fn etcd(data: &Path) -> Vec<String> {
    command(
        "etcd",
        [
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls=http://{ETCD}"),
            format!("--advertise-client-urls=http://{ETCD}"),
            format!("--listen-peer-urls=http://{ETCD_PEERS}"),
            format!("--initial-advertise-peer-urls=http://{ETCD_PEERS}"),
            format!("--initial-cluster=default=http://{ETCD_PEERS}"),
            "--heartbeat-interval=10".into(),
            "--election-timeout=100".into(),
            "--log-level=warn".into(),
            "--unsafe-no-fsync".into(),
        ],
    )
}

/// The API server; what is done with STOQ's accounts is logged if `audit` says where.
pub(crate) fn api_server(credentials: &Credentials, audit: Option<&Audit>) -> Vec<String> {
    let file =
        |option: &str, name: &str| format!("--{option}={}", credentials.file(name).display());
    let own = [
        format!("--etcd-servers=http://{ETCD}"),
        format!("--bind-address={}", API.ip()),
        format!("--advertise-address={}", API.ip()),
        format!("--secure-port={}", API.port()),
        format!("--service-cluster-ip-range={SERVICES}"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("client-ca-file", "ca.crt"),
        file("token-auth-file", "tokens.csv"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".into(),
        file("requestheader-client-ca-file", "ca.crt"),
        "--requestheader-allowed-names=front-proxy".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        file("proxy-client-cert-file", "front-proxy.crt"),
        file("proxy-client-key-file", "front-proxy.key"),
        // Webhooks are called at their pods: no proxy translates Services here.
        "--enable-aggregator-routing=true".into(),
        "--profiling=false".into(),
    ];
    command(
        "apiserver",
        own.into_iter().chain(audit.into_iter().flat_map(audited)),
    )
}

fn audited(audit: &Audit) -> [String; 2] {
    [
        format!("--audit-policy-file={}", audit.policy().display()),
        format!("--audit-log-path={}", audit.log().display()),
    ]
}

pub(crate) fn controller_manager(
    kubeconfig: &Path,
    credentials: &Credentials,
    controllers: Controllers,
) -> Vec<String> {
    let controllers = match controllers {
        Controllers::WithoutNodes => WITHOUT_NODES,
        Controllers::All => "*",
    };
    let own = [
        format!("--controllers={controllers}"),
        format!("--root-ca-file={}", credentials.file("ca.crt").display()),
        format!(
            "--service-account-private-key-file={}",
            credentials.file("sa.key").display()
        ),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--cluster-cidr={PODS}"),
        // Which node has which pods' network is what its CNI configuration says.
        "--allocate-node-cidrs=false".into(),
        "--node-monitor-grace-period=20s".into(),
        // Without, Deployments are not observed.
        "--use-service-account-credentials=true".into(),
        "--kube-api-qps=300".into(),
        "--kube-api-burst=500".into(),
    ];
    command(
        "controller-manager",
        follower(kubeconfig).into_iter().chain(own),
    )
}

pub(crate) fn scheduler(kubeconfig: &Path) -> Vec<String> {
    command("scheduler", follower(kubeconfig))
}

/// What every client of the API server that serves on the loopback is told.
fn follower(kubeconfig: &Path) -> Vec<String> {
    let kubeconfig = kubeconfig.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".into(),
        "--leader-elect=false".into(),
        "--profiling=false".into(),
    ]
}

fn command(part: &str, options: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut command = kube_binary::part(part);
    command.extend(options);
    command
}
