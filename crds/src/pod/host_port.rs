//! The UDP ports of the node that lead to a pod.

use std::net::IpAddr;
use std::num::NonZeroU16;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use crate::{Invalid, Violation};

/// A port of the node that leads to one of the pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostPort {
    /// Address of the node that it is at; `None`: every one.
    pub ip: Option<IpAddr>,
    /// UDP port of the node.
    pub port: NonZeroU16,
    /// UDP port of the pod.
    pub target_port: NonZeroU16,
}

/// Those of all containers that run beside each other, sidecars included.
pub(super) fn parse_all(spec: &PodSpec) -> Result<Vec<HostPort>, Invalid> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let sidecars = init.filter(|(_, one)| one.restart_policy.as_deref() == Some("Always"));
    let sidecars = sidecars.map(|(i, one)| (format!("spec.initContainers[{i}]"), one));
    let containers = spec.containers.iter().enumerate();
    let containers = containers.map(|(i, one)| (format!("spec.containers[{i}]"), one));
    let ports = containers.chain(sidecars).flat_map(of_container);
    ports.map(|(field, port)| parse(&field, port)).collect()
}

fn of_container(
    (field, container): (String, &Container),
) -> impl Iterator<Item = (String, &ContainerPort)> {
    let ports = container.ports.iter().flatten().enumerate();
    let named = ports.map(move |(i, port)| (format!("{field}.ports[{i}]"), port));
    named.filter(|(_, port)| is_udp(port) && port.host_port.unwrap_or(0) != 0)
}

fn is_udp(port: &ContainerPort) -> bool {
    port.protocol.as_deref() == Some("UDP")
}

fn parse(field: &str, port: &ContainerPort) -> Result<HostPort, Invalid> {
    let host_port = port.host_port.unwrap_or(0);
    Ok(HostPort {
        ip: parse_ip(port.host_ip.as_deref(), field)?,
        port: number(host_port, format!("{field}.hostPort"))?,
        target_port: number(port.container_port, format!("{field}.containerPort"))?,
    })
}

/// `0.0.0.0` and `::` are how the API writes "every address".
fn parse_ip(text: Option<&str>, field: &str) -> Result<Option<IpAddr>, Invalid> {
    let text = text.unwrap_or("");
    if text.is_empty() {
        return Ok(None);
    }
    let ip: Result<IpAddr, _> = text.parse();
    let refused = |_| Invalid::new(format!("{field}.hostIP"), Violation::Address(text.into()));
    let ip = ip.map_err(refused)?;
    Ok((!ip.is_unspecified()).then_some(ip))
}

fn number(found: i32, field: String) -> Result<NonZeroU16, Invalid> {
    let number = u16::try_from(found).ok().and_then(NonZeroU16::new);
    number.ok_or_else(|| Invalid::new(field, Violation::Port(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(yaml: &str) -> Result<Vec<String>, Invalid> {
        let found = parse_all(&serde_yaml::from_str(yaml).unwrap())?;
        let ip = |one: &HostPort| one.ip.map_or("*".to_owned(), |ip| ip.to_string());
        let each = found.iter();
        let each = each.map(|one| format!("{} {} -> {}", ip(one), one.port, one.target_port));
        Ok(each.collect())
    }

    #[test]
    fn only_udp_ports_of_the_node_count() {
        for (ports, expected) in [
            ("{containerPort: 4433, protocol: UDP}", &[][..]),
            ("{containerPort: 4433, hostPort: 443}", &[]),
            ("{containerPort: 4433, hostPort: 443, protocol: TCP}", &[]),
            (
                "{containerPort: 4433, hostPort: 443, protocol: UDP}",
                &["* 443 -> 4433"],
            ),
            (
                "{containerPort: 1, hostPort: 2, protocol: UDP, hostIP: 0.0.0.0}",
                &["* 2 -> 1"],
            ),
            (
                "{containerPort: 1, hostPort: 2, protocol: UDP, hostIP: '2001:db8::1'}",
                &["2001:db8::1 2 -> 1"],
            ),
        ] {
            let found = parsed(&format!("containers: [{{name: a, ports: [{ports}]}}]"));
            assert_eq!(found.unwrap(), expected, "{ports}");
        }
    }

    #[test]
    fn a_sidecar_s_ports_count_and_those_of_what_runs_before_do_not() {
        let ports = "ports: [{containerPort: 1, hostPort: 2, protocol: UDP}]";
        for (restart, expected) in [("Always", 1), ("OnFailure", 0)] {
            let yaml = format!(
                "{{containers: [], initContainers: [{{name: a, restartPolicy: {restart}, {ports}}}]}}"
            );
            assert_eq!(parsed(&yaml).unwrap().len(), expected, "{restart}");
        }
    }

    #[test]
    fn bad_ports_and_addresses_are_named() {
        for (port, field) in [
            ("containerPort: 1, hostPort: 65536", "hostPort"),
            ("containerPort: 0, hostPort: 1", "containerPort"),
            ("containerPort: 1, hostPort: 1, hostIP: here", "hostIP"),
        ] {
            let yaml = format!("containers: [{{name: a, ports: [{{{port}, protocol: UDP}}]}}]");
            let refused = parsed(&yaml).unwrap_err();
            assert_eq!(
                refused.field,
                format!("spec.containers[0].ports[0].{field}")
            );
        }
    }
}
