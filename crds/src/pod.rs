//! The parsed form of a `v1` Pod: what STOQ needs of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod as ApiPod, PodSpec, PodStatus};

use crate::{Invalid, ObjectName, Violation};

mod host_port;

pub use host_port::HostPort;

/// A pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pod {
    /// Namespace and name.
    pub name: ObjectName,
    /// Uid; `None` for one from a file that gives none.
    pub uid: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Addresses of both families, the primary one first; empty until the pod has one.
    pub ips: Vec<IpAddr>,
    /// Users that its containers run as, as far as it says (`runAsUser`).
    pub users: BTreeSet<u32>,
    /// UDP ports of the node that lead to it.
    pub host_ports: Vec<HostPort>,
    /// Node the pod is bound to; `None` until it is.
    pub node: Option<String>,
    /// Where the pod is in its life.
    pub phase: Phase,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Accepted, not yet running; also a pod whose status says nothing.
    Pending,
    /// Running.
    Running,
    /// Every container ended well.
    Succeeded,
    /// Every container ended, one of them badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

impl Pod {
    /// Takes what STOQ needs.
    ///
    /// # Errors
    /// A name, an address or a phase that Kubernetes does not have.
    pub fn parse(object: &ApiPod) -> Result<Self, Invalid> {
        let meta = &object.metadata;
        let spec = object.spec.as_ref();
        let status = object.status.as_ref();
        Ok(Self {
            name: ObjectName::parse(meta)?,
            uid: meta.uid.clone(),
            labels: meta.labels.clone().unwrap_or_default(),
            ips: status.map_or(Ok(Vec::new()), parse_ips)?,
            users: spec.map_or(Ok(BTreeSet::new()), parse_users)?,
            host_ports: spec.map_or(Ok(Vec::new()), host_port::parse_all)?,
            node: spec.and_then(|s| s.node_name.clone()),
            phase: parse_phase(status.and_then(|s| s.phase.as_deref()))?,
        })
    }

    /// Whether the pod has ended: its addresses may belong to another pod by now.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }
}

/// A container's own setting goes before the pod's.
fn parse_users(spec: &PodSpec) -> Result<BTreeSet<u32>, Invalid> {
    let pod = spec.security_context.as_ref().and_then(|c| c.run_as_user);
    let own = |(i, container): (usize, &Container)| {
        let user = container.security_context.as_ref()?.run_as_user?;
        Some((
            format!("spec.containers[{i}].securityContext.runAsUser"),
            user,
        ))
    };
    let of_pod = || Some(("spec.securityContext.runAsUser".to_owned(), pod?));
    let containers = spec.containers.iter().enumerate();
    let mut users: Vec<_> = containers.map(|one| own(one).or_else(of_pod)).collect();
    if users.is_empty() {
        users.push(of_pod());
    }
    let each = users.into_iter().flatten().map(|(field, user)| {
        u32::try_from(user).map_err(|_| Invalid::new(field, Violation::User(user)))
    });
    each.collect()
}

/// `podIPs`, and `podIP` where a hand-written file gives only that.
fn parse_ips(status: &PodStatus) -> Result<Vec<IpAddr>, Invalid> {
    let mut ips = Vec::new();
    for (i, entry) in status.pod_ips.iter().flatten().enumerate() {
        push_ip(&mut ips, &entry.ip, || format!("status.podIPs[{i}].ip"))?;
    }
    if let Some(ip) = &status.pod_ip {
        push_ip(&mut ips, ip, || "status.podIP".into())?;
    }
    Ok(ips)
}

/// An empty text is how the API writes "none yet".
fn push_ip(ips: &mut Vec<IpAddr>, text: &str, field: impl Fn() -> String) -> Result<(), Invalid> {
    if text.is_empty() {
        return Ok(());
    }
    let ip = text.parse();
    let ip = ip.map_err(|_| Invalid::new(field(), Violation::Address(text.into())))?;
    if !ips.contains(&ip) {
        ips.push(ip);
    }
    Ok(())
}

fn parse_phase(text: Option<&str>) -> Result<Phase, Invalid> {
    match text.unwrap_or("") {
        "" | "Pending" => Ok(Phase::Pending),
        "Running" => Ok(Phase::Running),
        "Succeeded" => Ok(Phase::Succeeded),
        "Failed" => Ok(Phase::Failed),
        "Unknown" => Ok(Phase::Unknown),
        other => Err(Invalid::new("status.phase", Violation::Phase(other.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<Pod, Invalid> {
        Pod::parse(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn a_running_pod_has_its_addresses_in_order_and_once() {
        let pod = parse(
            "metadata: {name: edge-0, namespace: prod, uid: u-1, labels: {app: edge}}\n\
             spec: {nodeName: n1, containers: []}\n\
             status: {phase: Running, podIP: 10.1.0.5, podIPs: [{ip: 10.1.0.5}, {ip: 'fd00::5'}]}",
        )
        .unwrap();
        assert_eq!(pod.name.to_string(), "prod/edge-0");
        assert_eq!(pod.uid.as_deref(), Some("u-1"));
        assert_eq!(pod.node.as_deref(), Some("n1"));
        let ips: [IpAddr; 2] = ["10.1.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        assert_eq!(pod.ips, ips);
        assert!(!pod.has_ended());
    }

    #[test]
    fn a_pod_without_status_is_pending_and_has_no_address() {
        let pod = parse("metadata: {name: edge-0}\nspec: {containers: []}").unwrap();
        assert_eq!((pod.phase, pod.ips.len()), (Phase::Pending, 0));
    }

    #[test]
    fn a_container_s_user_goes_before_the_pod_s() {
        let context = |user: u32| format!("securityContext: {{runAsUser: {user}}}");
        let (one, two) = (context(1), context(2));
        for (spec, users) in [
            ("containers: [{name: a}]".to_owned(), vec![]),
            (format!("{one}, containers: []"), vec![1]),
            (format!("{one}, containers: [{{name: a}}]"), vec![1]),
            (format!("{one}, containers: [{{name: a, {two}}}]"), vec![2]),
            (
                format!("{one}, containers: [{{name: a, {two}}}, {{name: b}}]"),
                vec![1, 2],
            ),
        ] {
            let pod = parse(&format!("metadata: {{name: a}}\nspec: {{{spec}}}")).unwrap();
            assert_eq!(pod.users.into_iter().collect::<Vec<_>>(), users, "{spec}");
        }
    }

    #[test]
    fn a_deleted_pod_may_still_serve_but_a_failed_one_has_ended() {
        let deleted = "metadata: {name: a, deletionTimestamp: 2026-01-01T00:00:00Z}\n\
                       status: {phase: Running}";
        let deleted = parse(deleted).unwrap();
        assert!(!deleted.has_ended());
        assert!(
            parse("metadata: {name: a}\nstatus: {phase: Failed}")
                .unwrap()
                .has_ended()
        );
    }

    #[test]
    fn bad_fields_are_named() {
        for (yaml, field) in [
            ("metadata: {}", "metadata.name"),
            ("metadata: {name: a}\nstatus: {podIP: 10.1}", "status.podIP"),
            (
                "metadata: {name: a}\nstatus: {podIPs: [{ip: x}]}",
                "status.podIPs[0].ip",
            ),
            ("metadata: {name: a}\nstatus: {phase: Gone}", "status.phase"),
            (
                "metadata: {name: a}\nspec: {securityContext: {runAsUser: -1}, containers: []}",
                "spec.securityContext.runAsUser",
            ),
        ] {
            assert_eq!(parse(yaml).unwrap_err().field, field, "{yaml}");
        }
    }
}
