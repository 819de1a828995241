//! The pods of a lab: who they are, and the files an agent reads about them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use crate::topology::{NODE_V4, NODE_V6};

/// The label `app` of every pod, and what [`transport_yaml`] selects.
pub const APP: &str = "edge";
/// The Kubernetes namespace of every object of the lab.
pub const NAMESPACE: &str = "lab";

/// One of the three ways a pod is connected to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pod {
    /// A veth pair and a host route to the pod's address, as Calico does.
    Routed,
    /// A port of a bridge on the node, as the bridge CNI plugin does.
    Bridged,
    /// The node's own namespace and addresses.
    HostNetwork,
}

impl Pod {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Routed, Self::Bridged, Self::HostNetwork];

    /// The pod's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Bridged => "bridged",
            Self::HostNetwork => "host-network",
        }
    }

    /// The pod's IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        match self {
            Self::Routed => Ipv4Addr::new(10, 244, 1, 10),
            Self::Bridged => Ipv4Addr::new(10, 244, 2, 10),
            Self::HostNetwork => NODE_V4,
        }
    }

    /// The pod's IPv6 address.
    pub fn v6(self) -> Ipv6Addr {
        match self {
            Self::Routed => Ipv6Addr::new(0xfd00, 0x244, 1, 0, 0, 0, 0, 0x10),
            Self::Bridged => Ipv6Addr::new(0xfd00, 0x244, 2, 0, 0, 0, 0, 0x10),
            Self::HostNetwork => NODE_V6,
        }
    }

    /// Its sockets' address, IPv4 and IPv6, on one port.
    pub fn targets(self, port: u16) -> [SocketAddr; 2] {
        [
            SocketAddr::new(IpAddr::V4(self.v4()), port),
            SocketAddr::new(IpAddr::V6(self.v6()), port),
        ]
    }

    /// The interface on the node that leads to the pod; none for hostNetwork.
    pub fn host_interface(self) -> Option<&'static str> {
        match self {
            Self::Routed => Some("cali0"),
            Self::Bridged => Some("vethb0"),
            Self::HostNetwork => None,
        }
    }
}

/// The pod as a v1 Pod, labelled `app: edge` and `pod: <name>`, running, with both addresses.
pub fn pod_yaml(pod: Pod) -> String {
    to_yaml(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": NAMESPACE,
            "name": pod.name(),
            "uid": format!("00000000-0000-4000-8000-{:012x}", u32::from(pod.v4())),
            "labels": {"app": APP, "pod": pod.name()},
        },
        "spec": {
            "nodeName": "node",
            "hostNetwork": pod == Pod::HostNetwork,
            "containers": [{"name": "server", "image": "lab"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "hostIP": NODE_V4.to_string(),
            "podIP": pod.v4().to_string(),
            "podIPs": [{"ip": pod.v4().to_string()}, {"ip": pod.v6().to_string()}],
        },
    }))
}

/// A StoqTransport that selects every pod of the lab on one port (`protocol` QUIC or UDP).
/// The fields of `spec` (an object) are added to, or replace, those of its spec.
pub fn transport_yaml(name: &str, port: u16, protocol: &str, spec: &Value) -> String {
    let mut object = json!({
        "apiVersion": "stoq.io/v1alpha1",
        "kind": "StoqTransport",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": APP}},
            "ports": [{"port": port, "protocol": protocol}],
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    to_yaml(&object)
}

// JSON is YAML: should the serializer ever refuse, what is returned can still be read.
fn to_yaml(object: &Value) -> String {
    serde_yaml::to_string(object).unwrap_or_else(|_| object.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_carries_its_addresses_and_labels() {
        let pod: Value = serde_yaml::from_str(&pod_yaml(Pod::Routed)).unwrap();
        assert_eq!(pod["metadata"]["labels"]["app"], "edge");
        assert_eq!(pod["status"]["podIP"], "10.244.1.10");
        assert_eq!(pod["status"]["podIPs"][1]["ip"], "fd00:244:1::10");
        assert_eq!(pod["spec"]["hostNetwork"], false);
    }

    #[test]
    fn the_given_fields_replace_those_of_the_spec() {
        let spec = json!({"filter": {"mode": "Enforce"}, "ports": [{"port": 1}]});
        let text = transport_yaml("edge", 4433, "QUIC", &spec);
        let object: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(object["spec"]["filter"]["mode"], "Enforce");
        assert_eq!(object["spec"]["ports"][0]["port"], 1);
        assert_eq!(object["spec"]["podSelector"]["matchLabels"]["app"], "edge");
    }
}
