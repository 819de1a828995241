//! Lets pods ask for AF_XDP by a resource, `stoq.io/afxdp`: a device plugin of the kubelet's.
//!
//! A device is a directory, `<run-dir>/devices/<id>/`, with a socket of the broker's in it. The pod
//! that the kubelet gives the device to has the directory at `/run/stoq`; so the socket by which
//! somebody comes tells the device, and the kubelet tells which pod holds that. A device that is
//! given anew is a new directory: what an earlier pod still has leads nowhere.

mod device;
mod directories;
mod health;
mod holders;
mod keeper;
mod service;
mod step;
#[cfg(test)]
mod tests;
mod watcher;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use health::{Health, health};

use crate::broker::Broker;
use directories::Directories;
use holders::Holders;
use keeper::Keeper;
use service::Service;

/// The resource that pods ask for.
pub const RESOURCE: &str = "stoq.io/afxdp";
/// Where kubelets have their own socket and those of plugins.
pub const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins";
/// Where kubelets tell which pod holds which device.
pub const POD_RESOURCES: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

/// How long a kubelet may take to learn of its pods.
const SETTLE: Duration = Duration::from_secs(60);

/// Where to find the kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubelet {
    /// Directory of its own socket and those of plugins.
    pub device_plugins: PathBuf,
    /// Socket of its pod-resources API.
    pub pod_resources: PathBuf,
}

/// The plugin, from the agent's side.
#[derive(Debug)]
pub struct DevicePlugin {
    health: watch::Sender<Option<Health>>,
    directories: Arc<Directories>,
    problem: Problem,
}

impl DevicePlugin {
    /// Serves `count` devices from the first report of their health on, in tasks of this runtime.
    pub fn start(kubelet: &Kubelet, run_dir: &Path, count: u32, broker: Broker) -> Self {
        let (health, reports) = watch::channel(None);
        let holders = Holders::new(&kubelet.pod_resources);
        let directories = Arc::new(Directories::new(run_dir, broker, holders));
        let problem = Problem::default();
        let service = Service::new(count, reports, directories.clone());
        let keeper = Keeper::new(&kubelet.device_plugins, service, problem.clone());
        tokio::spawn(keeper.run());
        Self {
            health,
            directories,
            problem,
        }
    }

    /// Whether the node has what a device promises.
    pub fn report(&self, health: Health) {
        self.health.send_if_modified(|now| {
            let news = now.as_ref() != Some(&health);
            *now = Some(health);
            news
        });
    }

    /// From now on pods are answered: those that hold devices already, and those to come.
    pub fn open(&self) {
        let directories = self.directories.clone();
        tokio::spawn(async move {
            directories.open();
            directories.sweep(SETTLE).await;
        });
    }

    /// Why the kubelet does not know the resource, if it does not.
    pub fn problem(&self) -> Option<String> {
        self.problem.get()
    }
}

/// What is wrong now, for the status.
#[derive(Clone, Debug, Default)]
struct Problem(Arc<Mutex<Option<String>>>);

impl Problem {
    fn set(&self, problem: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn get(&self) -> Option<String> {
        let problem = self.0.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
