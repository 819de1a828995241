//! The directories that pods have at `/run/stoq`, and who listens in them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use stoq_crds::ObjectName;
use tokio::task::JoinSet;

use super::device::Device;
use super::holders::{Held, Holders};
use crate::broker::{Broker, Door, Holder};

/// Between two questions to one that does not answer.
const RETRY: Duration = Duration::from_secs(5);

/// All of them: `<run-dir>/devices/<id>/`.
#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    broker: Broker,
    holders: Arc<Holders>,
    listening: Mutex<Listening>,
}

#[derive(Debug, Default)]
struct Listening {
    open: bool,
    on: BTreeMap<Device, Lease>,
}

/// A device given to a pod, until it is given to another. Its sessions end with it.
#[derive(Debug)]
struct Lease {
    current: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.current.store(false, Ordering::SeqCst);
    }
}

impl Directories {
    pub(super) fn new(run_dir: &Path, broker: Broker, holders: Holders) -> Self {
        Self {
            root: run_dir.join("devices"),
            broker,
            holders: Arc::new(holders),
            listening: Mutex::default(),
        }
    }

    /// A new directory for the device. A mount of the one before leads nowhere any more.
    pub(super) fn renew(&self, device: Device) -> io::Result<PathBuf> {
        let mut listening = self.listening();
        listening.on.remove(&device);
        // Nobody but root gets as far as a pod's directory on the node.
        make(&self.root, 0o700)?;
        let directory = self.directory(device);
        remove(&directory)?;
        make(&directory, 0o755)?;
        if listening.open {
            listening.on.insert(device, self.lease(device));
        }
        Ok(directory)
    }

    /// Listens in those that there are, which pods may have had since before this agent.
    pub(super) fn open(&self) {
        let mut listening = self.listening();
        listening.open = true;
        for device in self.present() {
            let lease = || self.lease(device);
            listening.on.entry(device).or_insert_with(lease);
        }
    }

    /// Removes, once, those of before that no pod holds. A kubelet that has just started learns of its
    /// pods bit by bit: it is given time to `settle`.
    pub(super) async fn sweep(&self, settle: Duration) {
        let old: Vec<_> = {
            let on = &self.listening().on;
            let old = on
                .iter()
                .map(|(device, lease)| (*device, lease.current.clone()));
            old.collect()
        };
        if old.is_empty() {
            return;
        }
        let held = self.settled(settle).await;
        for (device, current) in old {
            let mut listening = self.listening();
            // One given since then is another pod's, which the answer may not name yet.
            if current.load(Ordering::SeqCst) && !held.by.contains_key(&device) {
                listening.on.remove(&device);
                if let Err(error) = remove(&self.directory(device)) {
                    tracing::warn!(%device, "remove its directory: {error}");
                }
            }
        }
    }

    /// What a kubelet says that has had the time to learn of its pods.
    async fn settled(&self, settle: Duration) -> Held {
        let mut answered = false;
        loop {
            let pause = match self.holders.held().await {
                Ok(held) if held.settled && answered => return held,
                Ok(_) => {
                    answered = true;
                    settle
                }
                Err(_) => {
                    answered = false;
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn lease(&self, device: Device) -> Lease {
        let current = Arc::new(AtomicBool::new(true));
        let holder = HolderOf {
            device,
            current: current.clone(),
            holders: self.holders.clone(),
        };
        let mut tasks = JoinSet::new();
        let door = Door::Device(Arc::new(holder));
        tasks.spawn(self.broker.listen(&self.directory(device), door));
        Lease {
            current,
            _tasks: tasks,
        }
    }

    fn present(&self) -> Vec<Device> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| Device::parse(&name)).collect()
    }

    fn directory(&self, device: Device) -> PathBuf {
        self.root.join(device.to_string())
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pod that holds a device now.
struct HolderOf {
    device: Device,
    current: Arc<AtomicBool>,
    holders: Arc<Holders>,
}

impl Holder for HolderOf {
    fn pod(&self) -> BoxFuture<'_, Result<ObjectName, String>> {
        Box::pin(async {
            let held = self.holders.held().await?;
            // Only now: an answer that names the next pod comes after the device was given to it.
            if !self.current.load(Ordering::SeqCst) {
                return Err(format!("{} was given to another pod", self.device));
            }
            let pod = held.by.get(&self.device).cloned();
            pod.ok_or_else(|| format!("the kubelet knows no pod that holds {}", self.device))
        })
    }
}

fn make(directory: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)?;
    // Whatever the umask is, and was.
    fs::set_permissions(directory, Permissions::from_mode(mode))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
