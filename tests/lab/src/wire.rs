//! A wire that delays, loses and reorders, in user space: this kernel may have no netem.

mod delay_line;
mod packet_socket;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use self::delay_line::DelayLine;
use self::packet_socket::PacketSocket;
use crate::netns::Netns;

/// Frames taken from one end before the other end and the clock get their turn.
const BURST: usize = 64;

/// What the wire does to packets, each way.
#[derive(Debug, Clone, Copy)]
pub struct Impairment {
    /// How long each packet is on its way.
    pub delay: Duration,
    /// The share of packets lost, 0 to 1.
    pub loss: f64,
    /// The share of packets held back long enough for later ones to pass them, 0 to 1.
    pub reorder: f64,
    /// Where the pseudo-random choice of those packets begins.
    pub seed: u64,
}

impl Impairment {
    /// A wire that only delays.
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay,
            loss: 0.0,
            reorder: 0.0,
            seed: 1,
        }
    }
}

/// What happened to the packets of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Packets that left at the far end.
    pub carried: u64,
    /// Packets lost on purpose.
    pub lost: u64,
    /// Packets held back on purpose.
    pub reordered: u64,
    /// Packets the far end would not take: losses of the wire's own.
    pub refused: u64,
}

/// A running impairment wire between two interfaces; stops when dropped.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<OwnedFd>,
    tallies: [Arc<Tally>; 2],
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Starts to forward between two interfaces of a namespace.
    pub fn start(netns: &Netns, ends: [&str; 2], impairment: Impairment) -> Result<Self> {
        let sockets = netns.run(|| ends.map(PacketSocket::open))?;
        let [a, b] = sockets;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let tallies = [Arc::default(), Arc::default()];
        let forwarder = Forwarder {
            sockets: [a?, b?],
            lines: [0, 1].map(|way| DelayLine::new(impairment, way)),
            tallies: tallies.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("wire".into())
            .spawn(move || forwarder.run())
            .context("wire thread")?;
        Ok(Self {
            stop,
            tallies,
            thread: Some(thread),
        })
    }

    /// What happened so far, from the first end to the second and back.
    pub fn counts(&self) -> [WireCounts; 2] {
        [self.tallies[0].counts(), self.tallies[1].counts()]
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    carried: AtomicU64,
    lost: AtomicU64,
    reordered: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    fn counts(&self) -> WireCounts {
        WireCounts {
            carried: self.carried.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            reordered: self.reordered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

struct Forwarder {
    sockets: [PacketSocket; 2],
    lines: [DelayLine; 2],
    tallies: [Arc<Tally>; 2],
    stop: Arc<OwnedFd>,
}

impl Forwarder {
    fn run(mut self) {
        while let Ok(false) = self.wait() {
            for way in [0, 1] {
                self.take(way);
                self.deliver(way);
            }
        }
    }

    /// Waits for a frame or for one to become due; true when asked to stop.
    fn wait(&self) -> io::Result<bool> {
        let timeout = self.next_due().map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut fds = [
            PollFd::from_borrowed_fd(self.sockets[0].as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.sockets[1].as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(!fds[2].revents().is_empty()),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.lines.iter().filter_map(DelayLine::next_due).min()
    }

    fn take(&mut self, way: usize) {
        let tally = &self.tallies[way];
        for _ in 0..BURST {
            let Some(frame) = self.sockets[way].receive() else {
                return;
            };
            match self.lines[way].put(frame, Instant::now()) {
                delay_line::Fate::Lost => tally.lost.fetch_add(1, Ordering::Relaxed),
                delay_line::Fate::HeldBack => tally.reordered.fetch_add(1, Ordering::Relaxed),
                delay_line::Fate::InOrder => 0,
            };
        }
    }

    fn deliver(&mut self, way: usize) {
        let tally = &self.tallies[way];
        while let Some(frame) = self.lines[way].take_due(Instant::now()) {
            match self.sockets[1 - way].send(&frame) {
                Ok(()) => tally.carried.fetch_add(1, Ordering::Relaxed),
                Err(_) => tally.refused.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}
