//! A way into a network namespace: what connects to an address of this machine's loopback is
//! connected, byte for byte, to one inside.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use stoq_lab::Netns;
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// A running proxy, gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    // Its end ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of this thread's loopback, for `target` in the namespace.
    pub fn start(netns: &Netns, target: SocketAddrV4) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let inside = File::open(netns.path()).context("namespace of the proxy")?;
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            if let Err(error) = run(&inside, listener, target, stopped) {
                eprintln!("proxy to {target}: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("proxy".into());
        Ok(Self {
            port,
            stop: Some(stop),
            thread: Some(thread.spawn(work)?),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    inside: &File,
    listener: TcpListener,
    target: SocketAddrV4,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    // The listener stays where it was made; sockets that connect are made in here.
    move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = Listener::from_std(listener)?;
        tokio::select! {
            error = accept(listener, target) => error,
            _ = stopped => Ok(()),
        }
    })
}

async fn accept(listener: Listener, target: SocketAddrV4) -> io::Result<()> {
    loop {
        let (outer, _) = listener.accept().await?;
        tokio::spawn(carry(outer, target));
    }
}

/// A connection that ends with an error was ended by a peer, who knows.
async fn carry(mut outer: TcpStream, target: SocketAddrV4) -> io::Result<()> {
    let mut inner = TcpStream::connect(target).await?;
    outer.set_nodelay(true)?;
    inner.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}
