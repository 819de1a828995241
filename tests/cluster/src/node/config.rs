//! What a node's programs are told, as files in its /var/lib/kube.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::images::PAUSE;
use crate::topology::{API, PODS};
use crate::{kube_binary, kubeconfig};

pub(super) const CONTAINERD: &str = "/var/lib/kube/containerd.toml";
pub(super) const PROXY: &str = "/var/lib/kube/proxy.yaml";
const AUTHORITY: &str = "/var/lib/kube/ca.crt";

/// How pods are connected to their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cni {
    /// A veth pair and a route for each.
    #[default]
    Routed,
    /// A bridge, cni0.
    Bridged,
}

/// How kube-proxy translates Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyMode {
    /// By nftables.
    #[default]
    Nftables,
    /// By iptables.
    Iptables,
}

/// Who a node is and what it is told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) pods: String,
    /// Under which its pods' cgroups are, by its name from the root of each hierarchy.
    pub(crate) cgroup: String,
    pub(crate) cni: Cni,
    pub(crate) proxy: ProxyMode,
    /// The cluster's, as text.
    pub(crate) authority: String,
    pub(crate) kubelet_token: String,
    pub(crate) proxy_token: String,
}

impl Config {
    /// Writes all the files, where the node will see them in /var/lib/kube.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory.join("cni"))?;
        let kubeconfig = |token| kubeconfig::text(API, Path::new(AUTHORITY), token);
        let files = [
            ("ca.crt", self.authority.clone()),
            ("kubelet.kubeconfig", kubeconfig(&self.kubelet_token)),
            ("proxy.kubeconfig", kubeconfig(&self.proxy_token)),
            ("containerd.toml", containerd()),
            ("kubelet.yaml", self.kubelet_file()),
            ("proxy.yaml", self.proxy_file()),
            ("cni/10-pod.conflist", self.network()),
        ];
        for (name, text) in files {
            fs::write(directory.join(name), text)?;
        }
        Ok(())
    }

    /// The kubelet's command.
    pub(super) fn kubelet(&self) -> Vec<String> {
        let mut command = kube_binary::part("kubelet");
        command.extend([
            "--config=/var/lib/kube/kubelet.yaml".into(),
            "--kubeconfig=/var/lib/kube/kubelet.kubeconfig".into(),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={}", self.address),
        ]);
        command
    }

    fn kubelet_file(&self) -> String {
        let (address, cgroup) = (self.address, &self.cgroup);
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {AUTHORITY}}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
failCgroupV1: false
failSwapOn: false
healthzBindAddress: 127.0.0.1
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 4s
oomScoreAdj: 0
resolvConf: \"\"
"
        )
    }

    // What it may not set, it finds set: connection tracking belongs to the host.
    fn proxy_file(&self) -> String {
        let mode = match self.proxy {
            ProxyMode::Nftables => "nftables",
            ProxyMode::Iptables => "iptables",
        };
        format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: /var/lib/kube/proxy.kubeconfig}}
clusterCIDR: {PODS}
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
hostnameOverride: {}
mode: {mode}
",
            self.name
        )
    }

    fn network(&self) -> String {
        let kind = match self.cni {
            Cni::Routed => r#""type": "ptp""#,
            Cni::Bridged => {
                r#""type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true"#
            }
        };
        format!(
            r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{{kind}, "mtu": 1500, "ipam": {{
    "type": "host-local", "dataDir": "/run/cni", "ranges": [[{{"subnet": "{}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
"#,
            self.pods
        )
    }
}

/// Everything it writes is in the node's own /var/lib and /run.
fn containerd() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/var/lib/kube/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}
