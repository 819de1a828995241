//! Which pod holds which device: the kubelet knows.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use stoq_crds::ObjectName;
use tokio::sync::Mutex;
use tonic::transport::{Channel, Endpoint};

use super::RESOURCE;
use super::device::Device;
use super::wire::v1::pod_resources_lister_client::PodResourcesListerClient;
use super::wire::v1::{ListPodResourcesRequest, ListPodResourcesResponse};

/// For an answer of the kubelet's.
const PATIENCE: Duration = Duration::from_secs(2);
/// What hundreds of pods with many devices come to.
const LONGEST: usize = 16 << 20;

/// Asks for one pod after the other: the kubelet answers only so many questions a second.
#[derive(Debug)]
pub(super) struct Holders(Result<Mutex<PodResourcesListerClient<Channel>>, String>);

/// What it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The pod of each device that one holds.
    pub(super) by: BTreeMap<Device, ObjectName>,
    /// Whether it knows any pods at all: just started, it does not.
    pub(super) settled: bool,
}

impl Holders {
    /// By the socket of its pod-resources API, as soon as there is one.
    pub(super) fn new(socket: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()));
        let client = endpoint.map(|endpoint| {
            let endpoint = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE);
            PodResourcesListerClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(LONGEST)
        });
        Self(client.map(Mutex::new).map_err(|error| error.to_string()))
    }

    /// All of them; or why nobody can tell now.
    pub(super) async fn held(&self) -> Result<Held, String> {
        let client = self.0.as_ref().map_err(String::clone)?;
        let mut client = client.lock().await;
        let list = client.list(ListPodResourcesRequest {});
        match tokio::time::timeout(PATIENCE, list).await {
            Ok(Ok(list)) => Ok(held(&list.into_inner())),
            Ok(Err(status)) => Err(format!("the kubelet does not tell: {}", status.message())),
            Err(_) => Err("the kubelet does not answer".to_owned()),
        }
    }
}

fn held(list: &ListPodResourcesResponse) -> Held {
    let mut by = BTreeMap::new();
    for pod in &list.pod_resources {
        let devices = pod.containers.iter().flat_map(|one| &one.devices);
        let ours = devices.filter(|devices| devices.resource_name == RESOURCE);
        let ids = ours.flat_map(|devices| &devices.device_ids);
        for device in ids.filter_map(|id| Device::parse(id)) {
            let name = ObjectName {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
            };
            by.insert(device, name);
        }
    }
    let settled = !list.pod_resources.is_empty();
    Held { by, settled }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::wire::v1::{ContainerDevices, ContainerResources, PodResources};
    use super::*;

    /// A pod whose container holds these.
    pub(in super::super) fn holding(name: &str, resource: &str, ids: &[&str]) -> PodResources {
        let devices = ContainerDevices {
            resource_name: resource.into(),
            device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        PodResources {
            name: name.into(),
            namespace: "default".into(),
            containers: vec![ContainerResources {
                name: "main".into(),
                devices: vec![devices],
            }],
        }
    }

    #[test]
    fn devices_of_ours_are_found_among_all_others() {
        let list = ListPodResourcesResponse {
            pod_resources: vec![
                holding("plain", RESOURCE, &[]),
                holding("gpu", "example.com/gpu", &["afxdp-1"]),
                holding("edge", RESOURCE, &["afxdp-1", "afxdp-01", "../../etc"]),
                holding("other", RESOURCE, &["afxdp-2"]),
            ],
        };
        let held = held(&list);
        let by: Vec<_> = { held.by.iter() }
            .map(|(device, pod)| (device.0, pod.to_string()))
            .collect();
        let expected = [(1, "default/edge"), (2, "default/other")];
        assert_eq!(by, expected.map(|(device, pod)| (device, pod.to_owned())));
        assert!(held.settled);
    }

    #[test]
    fn a_kubelet_that_has_just_started_knows_nobody() {
        assert_eq!(held(&ListPodResourcesResponse::default()), Held::default());
    }
}
