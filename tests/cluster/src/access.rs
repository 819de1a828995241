//! Asking the control plane how it is, from threads that may belong to a runtime already.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::panic::resume_unwind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::runtime::Builder;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// What a kubeconfig says.
pub(crate) async fn config(kubeconfig: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// Ok once the API server says that it is ready.
pub(crate) fn ready(kubeconfig: &Path) -> Result<()> {
    block_on(async {
        let client = Client::try_from(config(kubeconfig).await?)?;
        let request = http::Request::get("/readyz").body(Vec::new())?;
        let answer = client.request_text(request).await?;
        ensure!(answer == "ok", "{answer}");
        Ok(())
    })
}

/// Ok once a namespace has its default service account, without which no pod can be created there.
pub(crate) fn has_service_account(kubeconfig: &Path, namespace: &str) -> Result<()> {
    block_on(async {
        let client = Client::try_from(config(kubeconfig).await?)?;
        let accounts = Api::<ServiceAccount>::namespaced(client, namespace);
        accounts.get("default").await?;
        Ok(())
    })
}

/// Ok once etcd says that it is healthy; asked on a thread of its network namespace.
pub(crate) fn etcd_is_healthy(address: SocketAddrV4) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains("\"health\":\"true\""), "{answer}");
    Ok(())
}

fn block_on(work: impl Future<Output = Result<()>> + Send) -> Result<()> {
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { timeout(PATIENCE, work).await.context("no answer")? })
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
