//! The server.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::end::End;
use super::meter::Meter;
use super::options::EndOptions;
use super::report::Costs;
use super::stream::{Receiving, Sending};
use super::work::{BULK, ECHO, MARK, MESSAGE};

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// The address and port to serve on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The server's certificate (PEM).
    #[arg(long)]
    pub cert: PathBuf,
    /// The server's key (PEM).
    #[arg(long)]
    pub key: PathBuf,
    /// The end.
    #[command(flatten)]
    pub end: EndOptions,
}

/// A server's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Started {
    /// It serves, and receives by what was asked for, in words.
    Ready(String),
    /// It cannot receive by what was asked for, and why.
    Refused(String),
}

struct Served {
    end: End,
    meter: Meter,
    /// At the last mark.
    marked: Mutex<Costs>,
}

/// Serves until `stop` completes; calls `started` once it knows what it receives by.
pub async fn serve(
    options: &ServeOptions,
    started: impl FnOnce(&Started) -> Result<()>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let identity = (options.cert.as_path(), options.key.as_path());
    let end = End::server(&options.end, options.listen, identity).await?;
    match end.backend(&options.end).await {
        Ok(backend) => started(&Started::Ready(backend))?,
        Err(why) => return started(&Started::Refused(why)),
    }
    let served = Arc::new(Served {
        end,
        meter: Meter::new(options.end.cpu),
        marked: Mutex::default(),
    });
    tokio::select! {
        () = stop => {}
        () = served.clone().accept() => {}
    }
    served.end.close().await;
    Ok(())
}

impl Served {
    async fn accept(self: Arc<Self>) {
        loop {
            if let Some(connection) = self.end.accept().await {
                tokio::spawn(self.clone().connection(connection));
            }
        }
    }

    async fn connection(self: Arc<Self>, mut connection: Connection) {
        while let Some((send, receive)) = connection.accept().await {
            tokio::spawn(self.clone().stream(send, receive));
        }
    }

    // What fails here the client sees as well, and says.
    async fn stream(self: Arc<Self>, mut send: Sending, mut receive: Receiving) -> Result<()> {
        let mut kind = [0];
        receive.fill(&mut kind).await?;
        match kind {
            [BULK] => self.count(&mut send, &mut receive).await?,
            [ECHO] => echo(&mut send, &mut receive).await?,
            [MARK] => send.send(self.mark()?).await?,
            _ => anyhow::bail!("a stream of kind {kind:?}"),
        }
        send.finish()
    }

    async fn count(&self, send: &mut Sending, receive: &mut Receiving) -> Result<()> {
        let mut all = 0;
        while let Some(bytes) = receive.skip().await? {
            all += bytes as u64;
            self.meter.bytes.fetch_add(bytes as u64, Relaxed);
        }
        send.send(Bytes::copy_from_slice(&all.to_be_bytes())).await
    }

    /// What was taken since the last mark, as JSON.
    fn mark(&self) -> Result<Bytes> {
        let now = self.meter.read(&self.end)?;
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.since(std::mem::replace(&mut *marked, now));
        Ok(serde_json::to_vec(&since)?.into())
    }
}

async fn echo(send: &mut Sending, receive: &mut Receiving) -> Result<()> {
    let mut message = [0; MESSAGE];
    while receive.fill(&mut message).await? {
        send.send(Bytes::copy_from_slice(&message)).await?;
    }
    Ok(())
}
