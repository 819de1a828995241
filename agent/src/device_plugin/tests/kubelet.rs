//! A kubelet that is played: its two sockets, and what it asks of the plugin.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::unfold;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::super::RESOURCE;
use super::super::holders::tests::holding;
use super::super::wire::v1::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use super::super::wire::v1::{ListPodResourcesRequest, ListPodResourcesResponse, PodResources};
use super::super::wire::v1beta1::device_plugin_client::DevicePluginClient;
use super::super::wire::v1beta1::registration_server::{Registration, RegistrationServer};
use super::super::wire::v1beta1::{
    AllocateRequest, ContainerAllocateRequest, Empty, ListAndWatchResponse, RegisterRequest,
};

const SOON: Duration = Duration::from_secs(60);

/// What a plugin registered.
pub(super) struct Registered {
    pub(super) resource: String,
    pub(super) version: String,
}

/// A kubelet until it is stopped.
pub(super) struct Played {
    plugins: PathBuf,
    registrations: mpsc::UnboundedReceiver<RegisterRequest>,
    pods: Pods,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Pods(Arc<Mutex<Option<Vec<PodResources>>>>);

struct Registrar(mpsc::UnboundedSender<RegisterRequest>);

/// The devices' health, as it is told.
pub(super) struct Followed(Streaming<ListAndWatchResponse>);

impl Followed {
    pub(super) async fn next(&mut self) -> Option<Vec<String>> {
        let list = timeout(SOON, self.0.message()).await.unwrap();
        let devices = list.ok()??.devices.into_iter();
        Some(devices.map(|device| device.health).collect())
    }
}

impl Played {
    /// As a real one does, it removes all sockets first.
    pub(super) fn start(directory: &Path) -> Self {
        let plugins = directory.join("plugins");
        for entry in fs::read_dir(&plugins).unwrap() {
            let path = entry.unwrap().path();
            // The test's own other plugin lives on.
            if std::os::unix::net::UnixStream::connect(&path).is_err() {
                fs::remove_file(path).unwrap();
            }
        }
        let pods = Pods::default();
        let (registered, registrations) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let listener = listen(&directory.join("pod-resources.sock"));
        let lister = PodResourcesListerServer::new(pods.clone());
        tasks.spawn(async move {
            let served = Server::builder().serve_with_incoming(lister, listener);
            served.await.unwrap();
        });
        let listener = listen(&plugins.join("kubelet.sock"));
        let registrar = RegistrationServer::new(Registrar(registered));
        tasks.spawn(async move {
            let served = Server::builder().serve_with_incoming(registrar, listener);
            served.await.unwrap();
        });
        Self {
            plugins,
            registrations,
            pods,
            _tasks: tasks,
        }
    }

    pub(super) fn stop(self) {
        fs::remove_file(self.plugins.join("kubelet.sock")).unwrap();
    }

    /// The next registration.
    pub(super) async fn registered(&mut self) -> Registered {
        let next = timeout(SOON, self.registrations.recv()).await;
        let request = next.unwrap().unwrap();
        assert_eq!(request.endpoint, "stoq-afxdp.sock");
        Registered {
            resource: request.resource_name,
            version: request.version,
        }
    }

    pub(super) async fn follow(&self) -> Followed {
        let devices = self.plugin().await.list_and_watch(Empty {}).await;
        Followed(devices.unwrap().into_inner())
    }

    /// Where the first device's directory is on the node.
    pub(super) async fn allocate(&self, ids: &[&str]) -> Result<PathBuf, Status> {
        let devices_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let request = AllocateRequest {
            container_requests: vec![ContainerAllocateRequest { devices_ids }],
        };
        let answer = self.plugin().await.allocate(request).await?.into_inner();
        let mounts = &answer.container_responses[0].mounts;
        assert_eq!(mounts.len(), 1);
        assert_eq!(
            (&*mounts[0].container_path, mounts[0].read_only),
            ("/run/stoq", true)
        );
        Ok(PathBuf::from(&mounts[0].host_path))
    }

    /// Which pods hold which devices from now on.
    pub(super) fn holds(&self, pods: &[(&str, &str)]) {
        let pods = pods
            .iter()
            .map(|(pod, device)| holding(pod, RESOURCE, &[device]));
        *self.pods.0.lock().unwrap() = Some(pods.collect());
    }

    /// Answers nothing any more about pods.
    pub(super) fn mute(&self) {
        *self.pods.0.lock().unwrap() = None;
    }

    pub(super) async fn until(&self, condition: impl Fn() -> bool) {
        let holds = async {
            while !condition() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, holds).await.unwrap();
    }

    async fn plugin(&self) -> DevicePluginClient<Channel> {
        let path = self.plugins.join("stoq-afxdp.sock");
        let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
        DevicePluginClient::new(endpoint.connect().await.unwrap())
    }
}

fn listen(
    path: &Path,
) -> impl futures::Stream<Item = std::io::Result<tokio::net::UnixStream>> + use<> {
    let _ = fs::remove_file(path);
    unfold(UnixListener::bind(path).unwrap(), |listener| async {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| stream), listener))
    })
}

#[tonic::async_trait]
impl Registration for Registrar {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        let _ = self.0.send(request.into_inner());
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Pods {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        let pods = self.0.lock().unwrap().clone();
        match pods {
            Some(pod_resources) => Ok(Response::new(ListPodResourcesResponse { pod_resources })),
            None => std::future::pending().await,
        }
    }
}
