//! Sends numbered packets at a steady rate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::packet::{LENGTH, Packet, is_passing};
use crate::cli::positive;
use crate::process;

/// How often packets that have become due are sent.
const GRAIN: Duration = Duration::from_millis(1);
/// The end is said more than once, for it may be lost like any packet.
pub const FAREWELLS: u32 = 10;

/// How to send.
#[derive(Debug, Clone, Args)]
pub struct SendOptions {
    /// Where to.
    #[arg(long)]
    pub target: SocketAddr,
    /// The address to send from; any without.
    #[arg(long)]
    pub source: Option<IpAddr>,
    /// Packets per second.
    #[arg(long, default_value_t = 50_000)]
    pub rate: u64,
    /// How long; less on SIGTERM.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub seconds: f64,
    /// UDP payload bytes of each packet.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(LENGTH as i64..))]
    pub size: u16,
}

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberSent {
    /// The sender's address and port.
    pub source: String,
    /// Packets the kernel took.
    pub sent: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// CPU time of the process, in seconds.
    pub cpu_s: f64,
}

/// Sends until the time is over or `stop`, then says so to the receiver.
pub fn send(options: &SendOptions, stop: &AtomicBool) -> Result<NumberSent> {
    let socket = open(options)?;
    let mut payload = vec![0; options.size.into()];
    let start = Instant::now();
    let total = Duration::from_secs_f64(options.seconds);
    let mut sent = 0;
    while sent < due(options.rate, total) && !stop.load(Ordering::Relaxed) {
        while sent < due(options.rate, start.elapsed().min(total)) {
            put(&socket, Packet::Data(sent), &mut payload)?;
            sent += 1;
        }
        sleep(GRAIN);
    }
    let seconds = start.elapsed().as_secs_f64();
    for _ in 0..FAREWELLS {
        put(&socket, Packet::End(sent), &mut payload)?;
        sleep(10 * GRAIN);
    }
    Ok(NumberSent {
        source: socket.local_addr()?.to_string(),
        sent,
        seconds,
        cpu_s: process::cpu_time(std::process::id())?.as_secs_f64(),
    })
}

fn open(options: &SendOptions) -> Result<UdpSocket> {
    let any = match options.target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let local = SocketAddr::new(options.source.unwrap_or(any), 0);
    let socket = UdpSocket::bind(local).with_context(|| local.to_string())?;
    socket
        .connect(options.target)
        .with_context(|| options.target.to_string())?;
    Ok(socket)
}

fn due(rate: u64, elapsed: Duration) -> u64 {
    (elapsed.as_secs_f64() * rate as f64) as u64
}

/// Tries until the kernel takes it: an ICMP error that waits on the socket belongs to an earlier
/// packet, and is taken off by the attempt.
fn put(socket: &UdpSocket, packet: Packet, payload: &mut [u8]) -> Result<()> {
    payload[..LENGTH].copy_from_slice(&packet.to_bytes());
    loop {
        match socket.send(payload) {
            Ok(_) => return Ok(()),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error).context("send"),
        }
    }
}
