//! One stream between two pods, as fast as it goes, until dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use super::node::PORT;
use crate::peers::peer;
use crate::{Lab, Pod, Process};

const TCP_PORT: u16 = 5001;
const BUFFER: usize = 128 << 10;
/// More than a connection carries while it is measured.
const RESPONSE: &str = "1000000000000";
const SECONDS: &str = "3600";

/// The stream's two ends, in the bridged and the routed pod.
pub(super) enum Stream {
    /// Two threads.
    Tcp { _tcp: Tcp },
    /// Two `lab` processes: killed when dropped, the client first.
    Quic { _load: Process, _serve: Process },
}

impl Stream {
    /// From the bridged pod to the routed one.
    pub(super) fn tcp(lab: &Lab) -> Result<Self> {
        let any = (Ipv4Addr::UNSPECIFIED, TCP_PORT);
        let listener = lab.pod.run(|| TcpListener::bind(any))??;
        let connect = || TcpStream::connect((Pod::Routed.v4(), TCP_PORT));
        let from = lab.bridged.run(connect)?.context("TCP to the routed pod")?;
        let (to, _) = listener.accept()?;
        let source = from.try_clone()?;
        let threads = [
            thread::spawn(|| send(source)),
            thread::spawn(|| receive(to)),
        ];
        let threads = threads.into();
        Ok(Self::Tcp {
            _tcp: Tcp { from, threads },
        })
    }

    /// A response without end from the routed pod, whose port STOQ guards, to the bridged one.
    pub(super) fn quic(lab: &Lab) -> Result<Self> {
        let serve = lab.serve(Pod::Routed, PORT, &[])?;
        let mut load = peer(&lab.bridged, "load")?;
        load.args(["--bulk", "--clients", "1", "--response", RESPONSE]);
        load.args(["--seconds", SECONDS, "--target"]);
        load.arg(format!("{}:{PORT}", Pod::Routed.v4()));
        load.arg("--ca").arg(&lab.identity().ca);
        Ok(Self::Quic {
            _load: Process::start(&mut load)?,
            _serve: serve,
        })
    }
}

/// A TCP stream and the threads at its ends.
pub(super) struct Tcp {
    from: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Tcp {
    fn drop(&mut self) {
        let _ = self.from.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn send(mut stream: TcpStream) {
    let buffer = vec![0; BUFFER];
    while stream.write_all(&buffer).is_ok() {}
}

fn receive(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
}
