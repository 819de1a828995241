//! Sees to it that the kubelet knows the plugin, whatever becomes of either.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as Plain;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::unfold;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Endpoint, Server};

use super::service::Service;
use super::step::{Done, File, Seen, Step, step};
use super::watcher::Watcher;
use super::wire::v1beta1::device_plugin_server::DevicePluginServer;
use super::wire::v1beta1::registration_client::RegistrationClient;
use super::wire::v1beta1::{DevicePluginOptions, RegisterRequest};
use super::{Problem, RESOURCE};

const PLUGIN: &str = "stoq-afxdp.sock";
const KUBELET: &str = "kubelet.sock";
const VERSION: &str = "v1beta1";
/// For an answer of the kubelet's.
const PATIENCE: Duration = Duration::from_secs(5);
/// What no event tells is seen this late at most.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts, and twice as long after each; a change in the directory is not waited for.
const RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// The plugin's life.
pub(super) struct Keeper {
    directory: PathBuf,
    service: Service,
    problem: Problem,
    serving: Option<(File, JoinSet<()>)>,
    /// Where, and when that or the last follower was.
    registered: Option<(File, Instant)>,
}

impl Keeper {
    pub(super) fn new(directory: &Path, service: Service, problem: Problem) -> Self {
        Self {
            directory: directory.to_owned(),
            service,
            problem,
            serving: None,
            registered: None,
        }
    }

    /// Goes on until it is dropped.
    pub(super) async fn run(mut self) {
        self.service.reported().await;
        let mut watcher = Watcher::new(&self.directory);
        let mut followers = self.service.followers();
        let mut retry = RETRY;
        watcher.arm();
        loop {
            match self.proceed(&followers).await {
                Ok(Step::Wait) => {
                    retry = RETRY;
                    tokio::select! {
                        () = watcher.changed() => {}
                        _ = followers.changed() => {}
                        () = sleep(LOOK) => watcher.arm(),
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("device plugin: {error}");
                    self.problem.set(Some(format!("device plugin: {error}")));
                    let _ = timeout(retry, watcher.changed()).await;
                    // A burst of changes is one.
                    sleep(RETRY).await;
                    watcher.arm();
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// One step, of those that are due.
    async fn proceed(&mut self, followers: &watch::Receiver<usize>) -> io::Result<Step> {
        let seen = self.look(*followers.borrow() > 0)?;
        let step = step(&seen, &self.done(&seen));
        match step {
            Step::Wait if seen.kubelet.is_none() => {
                let words = format!("device plugin: no {}", self.path(KUBELET).display());
                self.problem.set(Some(words));
            }
            Step::Wait => self.problem.set(None),
            Step::Serve => self.serve()?,
            Step::Register(kubelet) => {
                self.register().await?;
                self.registered = Some((kubelet, Instant::now()));
                tracing::info!(resource = RESOURCE, "the kubelet knows the device plugin");
            }
        }
        Ok(step)
    }

    fn look(&self, followed: bool) -> io::Result<Seen> {
        Ok(Seen {
            kubelet: there(&self.path(KUBELET))?,
            plugin: there(&self.path(PLUGIN))?,
            followed,
        })
    }

    fn done(&mut self, seen: &Seen) -> Done {
        if let Some((_, since)) = self.registered.as_mut().filter(|_| seen.followed) {
            *since = Instant::now();
        }
        // A server that has ended serves nobody.
        let ended = |tasks: &mut JoinSet<()>| tasks.try_join_next().is_some();
        if self.serving.as_mut().is_some_and(|(_, tasks)| ended(tasks)) {
            self.serving = None;
        }
        Done {
            serving: self.serving.as_ref().map(|(file, _)| *file),
            registered: self.registered.map(|(file, since)| (file, since.elapsed())),
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        self.serving = None;
        self.registered = None;
        let path = self.path(PLUGIN);
        let listener = bind(&path)?;
        let file = there(&path)?.ok_or(io::ErrorKind::NotFound)?;
        let service = DevicePluginServer::new(self.service.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let incoming = unfold(listener, |listener| async {
                let accepted = listener.accept().await;
                Some((accepted.map(|(stream, _)| stream), listener))
            });
            let served = Server::builder().serve_with_incoming(service, incoming);
            if let Err(error) = served.await {
                tracing::warn!("serve the kubelet: {error}");
            }
        });
        self.serving = Some((file, tasks));
        Ok(())
    }

    async fn register(&self) -> io::Result<()> {
        let endpoint = Endpoint::from_shared(format!("unix:{}", self.path(KUBELET).display()));
        let register = async {
            let channel = endpoint?.connect().await?;
            let request = RegisterRequest {
                version: VERSION.to_owned(),
                endpoint: PLUGIN.to_owned(),
                resource_name: RESOURCE.to_owned(),
                options: Some(DevicePluginOptions::default()),
            };
            RegistrationClient::new(channel).register(request).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        let registered = timeout(PATIENCE, register).await;
        registered?.map_err(|error| io::Error::other(format!("register: {error}")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn there(path: &Path) -> io::Result<Option<File>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(File::from(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(path, &error)),
    }
}

/// Takes the place of what a dead plugin has left; a live one keeps it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let refused = |error| named(path, &error);
    if Plain::connect(path).is_ok() {
        return Err(refused(io::ErrorKind::AddrInUse.into()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
