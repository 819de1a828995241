//! Receives numbered packets and reports what is missing.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use serde::{Deserialize, Serialize};

use super::packet::{Packet, is_passing};
use super::tracker::Tracker;
use crate::process;

/// Half a second at 50,000 packets/s: a receiver held up must not look like loss on the way.
const BUFFER: usize = 32 << 20;
/// How often an idle receiver looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// How to receive.
#[derive(Debug, Clone, Args)]
pub struct ReceiveOptions {
    /// The address and port to receive on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Stop by itself once this many senders have said that they ended; otherwise on SIGTERM.
    #[arg(long)]
    pub until_ended: Option<usize>,
}

/// What arrived.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberReceived {
    /// By sender.
    pub streams: Vec<Stream>,
    /// Packets that were not numbered ones.
    pub foreign: u64,
    /// CPU time of the process, in seconds.
    pub cpu_s: f64,
}

impl NumberReceived {
    /// The streams of one sender's address, whatever the port.
    pub fn from(&self, address: std::net::IpAddr) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(move |stream| {
            stream
                .source
                .parse()
                .is_ok_and(|source: SocketAddr| source.ip() == address)
        })
    }
}

/// One sender's packets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The sender's address and port.
    pub source: String,
    /// Different packets that arrived.
    pub received: u64,
    /// Packets that did not: up to the highest number seen, or to the end the sender told.
    pub lost: u64,
    /// Arrivals of packets that were there already.
    pub duplicated: u64,
    /// Packets that arrived after one with a higher number.
    pub reordered: u64,
    /// The longest time between two arrivals.
    pub longest_gap_ms: f64,
    /// Whether the sender's end was seen.
    pub ended: bool,
}

/// Receives until `stop`; calls `ready` with the bound address first.
pub fn receive(
    options: &ReceiveOptions,
    ready: impl FnOnce(SocketAddr),
    stop: &AtomicBool,
) -> Result<NumberReceived> {
    let socket = UdpSocket::bind(options.listen).with_context(|| options.listen.to_string())?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    socket.set_read_timeout(Some(LOOK))?;
    ready(socket.local_addr()?);
    let mut arrivals = Arrivals::default();
    while !stop.load(Ordering::Relaxed) && !arrivals.complete(options.until_ended) {
        arrivals.next(&socket)?;
    }
    arrivals.report()
}

#[derive(Default)]
struct Arrivals {
    trackers: BTreeMap<SocketAddr, Tracker>,
    foreign: u64,
    ended: usize,
}

impl Arrivals {
    fn next(&mut self, socket: &UdpSocket) -> Result<()> {
        let mut buffer = [0; 2048];
        let (length, source) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error).context("receive"),
        };
        let Some(packet) = Packet::parse(&buffer[..length]) else {
            self.foreign += 1;
            return Ok(());
        };
        // A socket for both families sees IPv4 as mapped addresses.
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let tracker = self.trackers.entry(source).or_default();
        let had_ended = tracker.ended();
        tracker.take(packet, Instant::now());
        self.ended += usize::from(tracker.ended() && !had_ended);
        Ok(())
    }

    fn complete(&self, wanted: Option<usize>) -> bool {
        wanted.is_some_and(|wanted| self.ended >= wanted)
    }

    fn report(&self) -> Result<NumberReceived> {
        let streams = self
            .trackers
            .iter()
            .map(|(source, t)| t.report(source.to_string()));
        Ok(NumberReceived {
            streams: streams.collect(),
            foreign: self.foreign,
            cpu_s: process::cpu_time(std::process::id())?.as_secs_f64(),
        })
    }
}
