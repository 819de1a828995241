//! etcd, API server and controllers on a machine of their own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, net};

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::config::AuthInfo;
use stoq_lab::run_name::RunName;
use stoq_lab::{Directory, Netns, tool, wait_for};

use crate::audit::{Audit, Use};
use crate::credentials::Credentials;
use crate::machine::Machine;
use crate::proxy::Proxy;
use crate::service::Service;
use crate::{access, arguments, kube_binary, kubeconfig, logs, stoq, sweep, topology};

const START: Duration = Duration::from_secs(90);
/// The namespace in which every new cluster makes its first service account.
const DEFAULT: &str = "default";

/// Which controllers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controllers {
    /// Those that work without nodes, so that nodes and pods that are only objects are left alone.
    WithoutNodes,
    /// All, and the scheduler.
    All,
}

/// A running control plane; everything of it goes when it is dropped.
// Dropped in this order: programs before the machine, the machine before namespace and directory.
#[derive(Debug)]
pub struct ControlPlane {
    api_server: Mutex<Option<Service>>,
    services: Vec<Service>,
    proxy: Proxy,
    machine: Machine,
    credentials: Credentials,
    audit: Option<Audit>,
    netns: Netns,
    kubeconfig: PathBuf,
    directory: Directory,
    name: RunName,
}

impl ControlPlane {
    /// Starts one without nodes: etcd, API server, and the controllers that need none. What dead
    /// runs left behind is removed first.
    pub fn start() -> Result<Self> {
        Self::start_with(false)
    }

    /// As [`Self::start`]; what STOQ's service accounts do is kept for [`Self::uses`].
    pub fn start_audited() -> Result<Self> {
        Self::start_with(true)
    }

    fn start_with(audit: bool) -> Result<Self> {
        sweep::sweep();
        let name = RunName::next();
        let netns = Netns::create(name.of("control-plane"))?;
        netns.ip_batch(&topology::alone())?;
        let mut control_plane = Self::prepare(name, netns, &[], audit)?;
        control_plane.up(Controllers::WithoutNodes)?;
        control_plane.wait_usable()?;
        Ok(control_plane)
    }

    /// The machine, with credentials for these nodes and nothing running on it.
    pub(crate) fn prepare(
        name: RunName,
        netns: Netns,
        nodes: &[String],
        audit: bool,
    ) -> Result<Self> {
        let directory = Directory::create(name)?;
        let own = directory.path().join("control-plane");
        let credentials = Credentials::generate(own.join("pki"), nodes)?;
        let proxy = Proxy::start(&netns, topology::API)?;
        let token = credentials.token("admin")?;
        let text = kubeconfig::text(proxy.address(), &credentials.file("ca.crt"), token);
        let kubeconfig = directory.path().join("kubeconfig");
        fs::write(&kubeconfig, text)?;
        Ok(Self {
            api_server: Mutex::new(None),
            services: Vec::new(),
            proxy,
            machine: Machine::boot(&netns, "control-plane", &own)?,
            credentials,
            audit: audit.then(|| Audit::prepare(&own)).transpose()?,
            netns,
            kubeconfig,
            directory,
            name,
        })
    }

    /// Starts its programs and waits until the API server serves.
    pub(crate) fn up(&mut self, controllers: Controllers) -> Result<()> {
        let etcd = self.directory.path().join("control-plane/etcd");
        let etcd = self.machine.start("etcd", &arguments::etcd(&etcd))?;
        self.services.push(etcd);
        self.wait_for_etcd()?;
        self.start_api_server()?;
        self.start_controllers(controllers)
    }

    /// Waits until pods can be created.
    pub(crate) fn wait_usable(&self) -> Result<()> {
        wait_for("default service account", START, || {
            access::has_service_account(&self.kubeconfig, DEFAULT).ok()
        })
    }

    /// The name all parts of this cluster begin with.
    pub fn name(&self) -> RunName {
        self.name
    }

    /// The kubeconfig of its administrator, for programs on this machine.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The same for programs in the namespaces of nodes and client, which the proxy does not serve.
    pub fn kubeconfig_inside(&self) -> Result<PathBuf> {
        self.write_kubeconfig("admin", "admin")
    }

    /// A directory for the files of this cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The namespace it runs in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Where programs on this machine reach the API server.
    pub fn address(&self) -> net::SocketAddrV4 {
        self.proxy.address()
    }

    /// The administrator's client configuration, to change and make clients of.
    pub async fn config(&self) -> Result<kube::Config> {
        access::config(&self.kubeconfig).await
    }

    /// A client with the administrator's rights.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// A client with the rights of a token, as `kubectl create token` makes them.
    pub async fn client_with_token(&self, token: &str) -> Result<Client> {
        let mut config = self.config().await?;
        config.auth_info = AuthInfo {
            token: Some(token.trim().to_owned().into()),
            ..AuthInfo::default()
        };
        Ok(Client::try_from(config)?)
    }

    /// A `kubectl` command with the administrator's rights.
    pub fn kubectl_command(&self) -> Command {
        kube_binary::kubectl(&self.kubeconfig)
    }

    /// Runs `kubectl`; its output, or an error with its words.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        tool::run(self.kubectl_command().args(arguments))
    }

    /// `kubectl apply` of a text, of one or more objects.
    pub fn apply(&self, objects: &str) -> Result<String> {
        let mut command = self.kubectl_command();
        tool::run_with_input(command.args(["apply", "-f", "-"]), objects)
    }

    /// Applies deploy/, each field checked by the API server, and waits until it knows the new kinds.
    pub fn apply_stoq(&self) -> Result<()> {
        let manifests = stoq::manifests().display().to_string();
        let strict = ["apply", "--server-side", "--validate=strict", "--kustomize"];
        self.kubectl(&[&strict[..], &[&manifests]].concat())?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s"];
        let crds = ["crd/stoqnodes.stoq.io", "crd/stoqtransports.stoq.io"];
        self.kubectl(&[&established[..], &crds].concat())?;
        Ok(())
    }

    /// Ends the API server at once; the rest stays.
    pub fn stop_api_server(&self) {
        drop(self.api_server().take());
    }

    /// Starts the API server, and waits until it serves.
    pub fn start_api_server(&self) -> Result<()> {
        let mut api_server = self.api_server();
        ensure!(api_server.is_none(), "the API server runs already");
        let command = arguments::api_server(&self.credentials, self.audit.as_ref());
        let mut started = self.machine.start("apiserver", &command)?;
        started.wait("/readyz", START, || access::ready(&self.kubeconfig).ok())?;
        *api_server = Some(started);
        Ok(())
    }

    /// Which of their rights STOQ's service accounts have used so far.
    pub fn uses(&self) -> Result<BTreeSet<Use>> {
        let audit = self.audit.as_ref();
        audit.context("started without an audit log")?.uses()
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn api_server(&self) -> MutexGuard<'_, Option<Service>> {
        let api_server = self.api_server.lock();
        api_server.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_etcd(&mut self) -> Result<()> {
        let netns = &self.netns;
        let etcd = self.services.last_mut().context("etcd")?;
        etcd.wait("health", START, || {
            netns
                .run(|| access::etcd_is_healthy(arguments::ETCD))
                .ok()?
                .ok()
        })
    }

    fn start_controllers(&mut self, controllers: Controllers) -> Result<()> {
        let manager = self.kubeconfig_of("kube-controller-manager")?;
        let command = arguments::controller_manager(&manager, &self.credentials, controllers);
        let manager = self.machine.start("controller-manager", &command)?;
        self.services.push(manager);
        if controllers == Controllers::All {
            let scheduler = self.kubeconfig_of("kube-scheduler")?;
            let command = arguments::scheduler(&scheduler);
            let scheduler = self.machine.start("scheduler", &command)?;
            self.services.push(scheduler);
        }
        Ok(())
    }

    /// Writes a kubeconfig for a program of the control plane.
    fn kubeconfig_of(&self, program: &str) -> Result<PathBuf> {
        self.write_kubeconfig(program, &format!("system:{program}"))
    }

    /// Writes a kubeconfig for use inside the cluster's network.
    fn write_kubeconfig(&self, name: &str, user: &str) -> Result<PathBuf> {
        let token = self.credentials.token(user)?;
        let text = kubeconfig::text(topology::API, &self.credentials.file("ca.crt"), token);
        let path = self.credentials.file(&format!("{name}.kubeconfig"));
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            logs::keep(self.directory.path());
        }
    }
}
