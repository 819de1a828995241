//! `objects.jsonl` in the run directory: what was last seen of the cluster, an object a line, for an
//! agent that starts while no API server answers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, PodSecurityContext, PodSpec};
use k8s_openapi::api::core::v1::{PodStatus, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stoq_crds::api::StoqTransportStatus;
use stoq_crds::{StoqNode, StoqTransport};

use super::index::{Index, is_refusal};

/// Name of the file.
pub const CACHE: &str = "objects.jsonl";

/// Why it is not believed.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("line {line}: {error}")]
    Line {
        line: usize,
        error: serde_json::Error,
    },
    #[error("line {line}: an object of node {node}")]
    Node { line: usize, node: String },
    #[error("line {line}: of no known kind")]
    Kind { line: usize },
}

/// What an agent of this node has left; an index of which nothing is known where there is nothing,
/// or nothing to rely on.
pub(super) fn read(run_dir: &Path, node: &str) -> Index {
    let path = run_dir.join(CACHE);
    match fs::read_to_string(&path).map_err(Unread::from) {
        Err(Unread::File(error)) if error.kind() == io::ErrorKind::NotFound => Index::default(),
        text => text
            .and_then(|text| parse(&text, node))
            .unwrap_or_else(|error| {
                tracing::warn!("{}: {error}; the API server is waited for", path.display());
                Index::default()
            }),
    }
}

/// Half of it could take away what is in force.
fn parse(text: &str, node: &str) -> Result<Index, Unread> {
    let mut index = Index::default();
    for (line, text) in (1..).zip(text.lines()) {
        let value: Value = read_as(line, || serde_json::from_str(text))?;
        if let Some(other) = node_of(&value).filter(|name| *name != node) {
            let node = other.to_owned();
            return Err(Unread::Node { line, node });
        }
        match value["kind"].as_str() {
            Some("StoqTransport") => index.transports.put(object(line, value)?),
            Some("Pod") => index.pods.put(object(line, value)?),
            Some("ConfigMap") => index.addresses.put(object(line, value)?),
            Some("StoqNode") => index.own.put(object(line, value)?),
            _ => return Err(Unread::Kind { line }),
        }
    }
    index.transports.complete = true;
    index.pods.complete = true;
    index.addresses.complete = true;
    index.own.complete = true;
    Ok(index)
}

fn node_of(value: &Value) -> Option<&str> {
    match value["kind"].as_str()? {
        "Pod" => value["spec"]["nodeName"].as_str(),
        "StoqNode" => value["metadata"]["name"].as_str(),
        _ => None,
    }
}

fn object<K: DeserializeOwned>(line: usize, value: Value) -> Result<K, Unread> {
    read_as(line, || serde_json::from_value(value))
}

fn read_as<T>(line: usize, read: impl FnOnce() -> serde_json::Result<T>) -> Result<T, Unread> {
    read().map_err(|error| Unread::Line { line, error })
}

/// The file's text.
pub(super) fn text(index: &Index) -> serde_json::Result<String> {
    let mut text = String::new();
    lines(&mut text, index.transports.good())?;
    lines(&mut text, index.pods.good())?;
    lines(&mut text, index.addresses.good())?;
    lines(&mut text, index.own.good())?;
    Ok(text)
}

fn lines<'a, K: Serialize + 'a>(
    text: &mut String,
    objects: impl Iterator<Item = &'a K>,
) -> serde_json::Result<()> {
    for object in objects {
        text.push_str(&serde_json::to_string(object)?);
        text.push('\n');
    }
    Ok(())
}

/// Writes it, whole or not at all.
pub(super) fn write(run_dir: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(run_dir)?;
    let new: PathBuf = run_dir.join(format!(".{CACHE}.new"));
    fs::write(&new, text)?;
    fs::rename(&new, run_dir.join(CACHE))
}

/// What is of use of a transport. Its status changes every minute; of that, front ends and whether it is refused.
pub(super) fn kept_transport(object: StoqTransport) -> StoqTransport {
    StoqTransport {
        metadata: kept_meta(object.metadata),
        spec: object.spec,
        status: object.status.map(|status| StoqTransportStatus {
            front_ends: status.front_ends,
            conditions: { status.conditions.into_iter() }
                .filter(is_refusal)
                .collect(),
            ..StoqTransportStatus::default()
        }),
    }
}

/// What is of use of a pod; its environment may hold secrets, and is not.
pub(super) fn kept_pod(object: Pod) -> Pod {
    Pod {
        metadata: kept_meta(object.metadata),
        spec: object.spec.map(|spec| PodSpec {
            node_name: spec.node_name,
            security_context: spec.security_context.map(|context| PodSecurityContext {
                run_as_user: context.run_as_user,
                ..PodSecurityContext::default()
            }),
            containers: spec.containers.into_iter().map(kept_container).collect(),
            init_containers: { spec.init_containers }
                .map(|all| all.into_iter().map(kept_container).collect()),
            ..PodSpec::default()
        }),
        status: object.status.map(|status| PodStatus {
            phase: status.phase,
            pod_ip: status.pod_ip,
            pod_ips: status.pod_ips,
            ..PodStatus::default()
        }),
    }
}

fn kept_container(container: Container) -> Container {
    Container {
        name: container.name,
        ports: container.ports,
        restart_policy: container.restart_policy,
        security_context: container.security_context.map(|context| SecurityContext {
            run_as_user: context.run_as_user,
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// What is of use of the map of addresses.
pub(super) fn kept_map(object: ConfigMap) -> ConfigMap {
    ConfigMap {
        metadata: kept_meta(object.metadata),
        data: object.data,
        ..ConfigMap::default()
    }
}

/// What an admin says of the node.
pub(super) fn kept_node(object: StoqNode) -> StoqNode {
    StoqNode {
        metadata: kept_meta(object.metadata),
        spec: object.spec,
        status: None,
    }
}

fn kept_meta(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        generation: meta.generation,
        labels: meta.labels,
        creation_timestamp: meta.creation_timestamp,
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
