//! Receives numbered packets and reports what is missing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use serde::{Deserialize, Serialize};

use super::packet::{Packet, is_passing};
use super::session::Session;
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
    /// Receive by AF_XDP too, from the broker at this path, for the address listened at.
    #[arg(long)]
    pub af_xdp: Option<PathBuf>,
    /// Frames of 2048 bytes to ask for.
    #[arg(long, default_value_t = 4096)]
    pub frames: u32,
    /// Receive by AF_XDP alone.
    #[arg(long, requires = "af_xdp")]
    pub without_udp: bool,
    /// Answer each sender's first packet and every hundredth: to be admitted, a flow must be.
    #[arg(long)]
    pub answer: bool,
}

/// What arrived.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberReceived {
    /// By sender.
    pub streams: Vec<Stream>,
    /// Packets that were not numbered ones.
    pub foreign: u64,
    /// Packets of all that came by AF_XDP.
    #[serde(default)]
    pub by_af_xdp: u64,
    /// What became of the AF_XDP session, step by step.
    #[serde(default)]
    pub story: Vec<String>,
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
    let mut arrivals = Arrivals {
        answer: options.answer,
        ..Arrivals::default()
    };
    let Some(broker) = &options.af_xdp else {
        let socket = open(options.listen)?;
        socket.set_read_timeout(Some(LOOK))?;
        ready(socket.local_addr()?);
        while !stop.load(Ordering::Relaxed) && !arrivals.complete(options.until_ended) {
            arrivals.next(&socket)?;
        }
        return arrivals.report();
    };
    let udp = (!options.without_udp).then(|| open(options.listen));
    let udp = udp.transpose()?;
    ready(options.listen);
    let session = Session::new(broker, options.listen, options.frames);
    receive_both(options, udp.as_ref(), session, arrivals, stop)
}

fn open(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| address.to_string())?;
    // Who may not have more than the node allows has less.
    if set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        set_socket_recv_buffer_size(&socket, BUFFER)?;
    }
    Ok(socket)
}

/// By UDP and by AF_XDP, as they come.
fn receive_both(
    options: &ReceiveOptions,
    udp: Option<&UdpSocket>,
    mut session: Session,
    mut arrivals: Arrivals,
    stop: &AtomicBool,
) -> Result<NumberReceived> {
    const AT_A_TIME: usize = 64;
    if let Some(udp) = udp {
        udp.set_nonblocking(true)?;
    }
    // What came in the last moment is still read.
    let mut last = false;
    loop {
        session.tend();
        let mut came = session.receive(AT_A_TIME, |frame| arrivals.frame(frame, udp));
        arrivals.by_af_xdp += came as u64;
        if let Some(udp) = udp {
            while came < 2 * AT_A_TIME && arrivals.next(udp)? {
                came += 1;
            }
        }
        if came == 0 {
            if last {
                break;
            }
            last = stop.load(Ordering::Relaxed) || arrivals.complete(options.until_ended);
            let fds = session.fds().chain(udp.map(|udp| udp.as_fd()));
            let mut fds: Vec<_> = fds
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            wait(&mut fds)?;
        }
    }
    let by_af_xdp = arrivals.by_af_xdp;
    Ok(NumberReceived {
        by_af_xdp,
        story: session.story,
        ..arrivals.report()?
    })
}

fn wait(fds: &mut [PollFd<'_>]) -> Result<()> {
    let look = Timespec::try_from(LOOK)?;
    match poll(fds, Some(&look)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).context("poll"),
    }
}

#[derive(Default)]
struct Arrivals {
    trackers: BTreeMap<SocketAddr, Tracker>,
    foreign: u64,
    ended: usize,
    by_af_xdp: u64,
    answer: bool,
}

impl Arrivals {
    /// Returns whether there was one.
    fn next(&mut self, socket: &UdpSocket) -> Result<bool> {
        let mut buffer = [0; 2048];
        let (length, source) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if is_passing(&error) => return Ok(false),
            Err(error) => return Err(error).context("receive"),
        };
        self.take(&buffer[..length], source, Some(socket));
        Ok(true)
    }

    /// A frame of Ethernet, IP without options, and UDP.
    fn frame(&mut self, frame: &[u8], socket: Option<&UdpSocket>) {
        match datagram(frame) {
            Some((source, payload)) => self.take(payload, source, socket),
            None => self.foreign += 1,
        }
    }

    fn take(&mut self, payload: &[u8], source: SocketAddr, socket: Option<&UdpSocket>) {
        let Some(packet) = Packet::parse(payload) else {
            self.foreign += 1;
            return;
        };
        let due = matches!(packet, Packet::Data(number) if number % 100 == 0);
        if self.answer
            && due
            && let Some(socket) = socket
        {
            // Lost answers are no loss.
            let _ = socket.send_to(b"answer", source);
        }
        // A socket for both families sees IPv4 as mapped addresses.
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let tracker = self.trackers.entry(source).or_default();
        let had_ended = tracker.ended();
        tracker.take(packet, Instant::now());
        self.ended += usize::from(tracker.ended() && !had_ended);
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
            by_af_xdp: 0,
            story: Vec::new(),
            cpu_s: process::cpu_time(std::process::id())?.as_secs_f64(),
        })
    }
}

fn datagram(frame: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, udp) = match frame.get(12..14)? {
        [0x08, 0x00] => (IpAddr::from(*frame.get(26..)?.first_chunk::<4>()?), 34),
        [0x86, 0xdd] => (IpAddr::from(*frame.get(22..)?.first_chunk::<16>()?), 54),
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let (port, length) = (word(udp)?, usize::from(word(udp + 4)?));
    let payload = frame.get(udp + 8..udp + length)?;
    Some((SocketAddr::new(ip, port), payload))
}
