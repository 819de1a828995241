//! What the kubelet asks of the plugin.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use futures::stream::unfold;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::device::Device;
use super::directories::Directories;
use super::health::Health;
use super::wire::v1beta1;
use super::wire::v1beta1::device_plugin_server::DevicePlugin;

/// Where a pod has its directory: there the crate `stoq` looks for the broker.
const IN_THE_POD: &str = "/run/stoq";

/// Answers the kubelet.
#[derive(Clone, Debug)]
pub(super) struct Service {
    count: u32,
    health: watch::Receiver<Option<Health>>,
    directories: Arc<Directories>,
    /// How many kubelets follow the devices.
    followers: watch::Sender<usize>,
}

impl Service {
    pub(super) fn new(
        count: u32,
        health: watch::Receiver<Option<Health>>,
        directories: Arc<Directories>,
    ) -> Self {
        Self {
            count,
            health,
            directories,
            followers: watch::Sender::new(0),
        }
    }

    /// Until there is a first report of the devices' health.
    pub(super) async fn reported(&self) {
        // An error: the agent ends.
        let _ = self.health.clone().wait_for(Option::is_some).await;
    }

    /// How many kubelets follow the devices.
    pub(super) fn followers(&self) -> watch::Receiver<usize> {
        self.followers.subscribe()
    }

    fn give(&self, ids: &[String]) -> Result<v1beta1::ContainerAllocateResponse, Status> {
        let mut devices = Vec::new();
        for id in ids {
            let device = Device::parse(id).filter(|device| device.0 < self.count);
            devices.push(device.ok_or_else(|| Status::not_found(format!("no device {id:?}")))?);
        }
        // There is one place in the container: one directory does for all its devices.
        let Some(device) = devices.first() else {
            return Ok(v1beta1::ContainerAllocateResponse::default());
        };
        let directory = self.directories.renew(*device);
        let directory =
            directory.map_err(|error| Status::internal(format!("{device}: {error}")))?;
        tracing::info!(%device, "given to a pod");
        let mount = v1beta1::Mount {
            container_path: IN_THE_POD.to_owned(),
            host_path: directory.display().to_string(),
            // Connecting is no writing.
            read_only: true,
        };
        let mounts = vec![mount];
        Ok(v1beta1::ContainerAllocateResponse { mounts })
    }
}

#[tonic::async_trait]
impl DevicePlugin for Service {
    type ListAndWatchStream =
        Pin<Box<dyn Stream<Item = Result<v1beta1::ListAndWatchResponse, Status>> + Send>>;

    async fn get_device_plugin_options(
        &self,
        _: Request<v1beta1::Empty>,
    ) -> Result<Response<v1beta1::DevicePluginOptions>, Status> {
        Ok(Response::new(v1beta1::DevicePluginOptions::default()))
    }

    async fn list_and_watch(
        &self,
        _: Request<v1beta1::Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let mut health = self.health.clone();
        health.mark_changed();
        let follower = Follower::new(self.followers.clone());
        let count = self.count;
        let lists = unfold(
            (health, follower),
            move |(mut health, follower)| async move {
                health.changed().await.ok()?;
                let list = devices(count, health.borrow_and_update().as_ref());
                Some((Ok(list), (health, follower)))
            },
        );
        Ok(Response::new(Box::pin(lists)))
    }

    async fn allocate(
        &self,
        request: Request<v1beta1::AllocateRequest>,
    ) -> Result<Response<v1beta1::AllocateResponse>, Status> {
        let containers = request.into_inner().container_requests;
        let each = containers.iter().map(|one| self.give(&one.devices_ids));
        let container_responses = each.collect::<Result<_, _>>()?;
        Ok(Response::new(v1beta1::AllocateResponse {
            container_responses,
        }))
    }

    async fn get_preferred_allocation(
        &self,
        _: Request<v1beta1::PreferredAllocationRequest>,
    ) -> Result<Response<v1beta1::PreferredAllocationResponse>, Status> {
        Err(Status::unimplemented("one device is like the other"))
    }

    async fn pre_start_container(
        &self,
        _: Request<v1beta1::PreStartContainerRequest>,
    ) -> Result<Response<v1beta1::PreStartContainerResponse>, Status> {
        Ok(Response::new(v1beta1::PreStartContainerResponse {}))
    }
}

/// All of them in any case: the node shows how many there would be, and that none is to be had.
fn devices(count: u32, health: Option<&Health>) -> v1beta1::ListAndWatchResponse {
    let health = match health {
        Some(Health::Healthy) => "Healthy",
        Some(Health::Unhealthy(_)) | None => "Unhealthy",
    };
    let device = |number| v1beta1::Device {
        id: Device(number).to_string(),
        health: health.to_owned(),
    };
    let devices = (0..count).map(device).collect();
    v1beta1::ListAndWatchResponse { devices }
}

/// Counts while it lives.
struct Follower(watch::Sender<usize>);

impl Follower {
    fn new(followers: watch::Sender<usize>) -> Self {
        followers.send_modify(|count| *count += 1);
        Self(followers)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_whatever_their_health() {
        let unhealthy = Health::Unhealthy("EPERM".into());
        for (health, expected) in [
            (Some(&Health::Healthy), "Healthy"),
            (Some(&unhealthy), "Unhealthy"),
            (None, "Unhealthy"),
        ] {
            let listed = devices(2, health).devices.into_iter();
            let listed: Vec<_> = listed.map(|one| (one.id, one.health)).collect();
            let expected = ["afxdp-0", "afxdp-1"].map(|id| (id.to_owned(), expected.to_owned()));
            assert_eq!(listed, expected);
        }
        assert!(devices(0, None).devices.is_empty());
    }
}
