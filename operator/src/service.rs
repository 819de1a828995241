//! Services and their endpoints, as far as UDP from outside is concerned.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service as ApiService, ServicePort, ServiceSpec, ServiceStatus};
use k8s_openapi::api::discovery::v1::{Endpoint as ApiEndpoint, EndpointSlice};
use stoq_crds::TrafficPolicy;

use crate::words::Words;

const SERVICE: &str = "kubernetes.io/service-name";

/// A Service that can be reached from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Service {
    /// By name of the port, as slices have it.
    pub(crate) ports: BTreeMap<String, ServiceUdpPort>,
    /// Addresses of load balancers, and external ones.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) policy: TrafficPolicy,
}

/// A UDP port of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ServiceUdpPort {
    pub(crate) port: u16,
    pub(crate) node_port: Option<u16>,
}

/// A slice with UDP ports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Slice {
    /// Name of the service.
    pub(crate) service: String,
    /// Port of the pods, by name.
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// A pod behind a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// Name of the pod.
    pub(crate) pod: String,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) ready: bool,
}

impl Service {
    /// `None` if nothing from outside leads to it by UDP.
    pub(crate) fn read(object: &ApiService) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let ports = spec
            .ports
            .iter()
            .flatten()
            .filter(|one| is_udp(&one.protocol));
        let ports: BTreeMap<_, _> = ports.filter_map(port).collect();
        let addresses = addresses(spec, object.status.as_ref());
        let reachable = !addresses.is_empty() || ports.values().any(|one| one.node_port.is_some());
        (!ports.is_empty() && reachable).then_some(Self {
            ports,
            addresses,
            policy: match spec.external_traffic_policy.as_deref() {
                Some("Local") => TrafficPolicy::Local,
                _ => TrafficPolicy::Cluster,
            },
        })
    }
}

fn is_udp(protocol: &Option<String>) -> bool {
    protocol.as_deref() == Some("UDP")
}

fn port(from: &ServicePort) -> Option<(String, ServiceUdpPort)> {
    let node_port = from.node_port.and_then(|port| u16::try_from(port).ok());
    let port = ServiceUdpPort {
        port: u16::try_from(from.port).ok()?,
        node_port: node_port.filter(|port| *port != 0),
    };
    Some((from.name.clone().unwrap_or_default(), port))
}

fn addresses(spec: &ServiceSpec, status: Option<&ServiceStatus>) -> Vec<IpAddr> {
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref());
    let ingress = ingress.into_iter().flatten();
    // With ipMode Proxy the balancer sends to node ports, with another destination.
    let ingress = ingress.filter(|one| one.ip_mode.as_deref() != Some("Proxy"));
    let ingress = ingress.filter_map(|one| one.ip.as_ref());
    let external = spec.external_ips.iter().flatten();
    let mut all: Vec<IpAddr> = ingress
        .chain(external)
        .filter_map(|ip| ip.parse().ok())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl Slice {
    /// `None` if it has no UDP port or belongs to no Service.
    pub(crate) fn read(object: EndpointSlice, words: &mut Words) -> Option<Self> {
        let service = object.metadata.labels.as_ref()?.get(SERVICE)?.clone();
        let ports = object.ports.into_iter().flatten();
        let ports = ports.filter(|one| is_udp(&one.protocol));
        let ports = ports
            .filter_map(|one| Some((one.name.unwrap_or_default(), u16::try_from(one.port?).ok()?)));
        let ports: BTreeMap<_, _> = ports.collect();
        let endpoints = object.endpoints.into_iter();
        (!ports.is_empty()).then(|| Self {
            service,
            ports,
            endpoints: endpoints.filter_map(|one| endpoint(one, words)).collect(),
        })
    }
}

fn endpoint(from: ApiEndpoint, words: &mut Words) -> Option<Endpoint> {
    let target = from.target_ref?;
    let ready = from.conditions.and_then(|conditions| conditions.ready);
    (target.kind.as_deref() == Some("Pod")).then_some(())?;
    Some(Endpoint {
        pod: target.name?,
        node: from.node_name.map(|name| words.text(&name)),
        // Absent means true (EndpointConditions.ready).
        ready: ready.unwrap_or(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> Option<Service> {
        Service::read(&serde_yaml::from_str(text).unwrap())
    }

    #[test]
    fn only_udp_from_outside_counts() {
        let udp = "{name: q, protocol: UDP, port: 443, nodePort: 30443}";
        for (yaml, known) in [
            (
                "spec: {ports: [{port: 443, nodePort: 30443}]}".to_owned(),
                false,
            ),
            (
                "spec: {ports: [{protocol: UDP, port: 443}]}".to_owned(),
                false,
            ),
            (format!("spec: {{ports: [{udp}]}}"), true),
            (
                "spec: {ports: [{protocol: UDP, port: 443}], externalIPs: [192.0.2.1]}".into(),
                true,
            ),
        ] {
            assert_eq!(service(&yaml).is_some(), known, "{yaml}");
        }
    }

    #[test]
    fn addresses_come_from_balancers_and_from_outside_each_once() {
        let found = service(
            "spec: {externalTrafficPolicy: Local, externalIPs: [192.0.2.9, 192.0.2.1], \
             ports: [{protocol: UDP, port: 443}]}\n\
             status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: lb}, \
             {ip: 192.0.2.7, ipMode: Proxy}, {ip: '2001:db8::1', ipMode: VIP}]}}",
        );
        let found = found.unwrap();
        let addresses: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.9", "2001:db8::1"]);
        assert_eq!(found.policy, TrafficPolicy::Local);
    }

    #[test]
    fn a_slice_names_its_pods_and_whether_they_are_ready() {
        let yaml = "addressType: IPv4\n\
            metadata: {labels: {kubernetes.io/service-name: edge}}\n\
            ports: [{name: q, protocol: UDP, port: 4433}, {name: t, protocol: TCP, port: 80}]\n\
            endpoints:\n\
            - {addresses: [10.0.0.1], nodeName: n1, targetRef: {kind: Pod, name: a}}\n\
            - {addresses: [10.0.0.2], conditions: {ready: false}, targetRef: {kind: Pod, name: b}}\n\
            - {addresses: [10.0.0.3]}";
        let slice = serde_yaml::from_str(yaml).unwrap();
        let slice = Slice::read(slice, &mut Words::default()).unwrap();
        assert_eq!(slice.ports, BTreeMap::from([("q".to_owned(), 4433)]));
        let pods: Vec<_> = slice
            .endpoints
            .iter()
            .map(|one| (one.pod.as_str(), one.ready))
            .collect();
        assert_eq!(pods, [("a", true), ("b", false)]);
    }
}
