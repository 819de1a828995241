//! Looking for packets without sleeping, for a bounded time.

use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn::udp::{RecvMeta, UdpSocketState};

/// How long to look, after something was sent or received.
const TIME: Duration = Duration::from_micros(50);

/// Turns in which other tasks of the thread come first: those that deal with what was received, and
/// those that they wake. More would have the runtime wake its other threads to share the work.
const TURNS: u32 = 4;

/// A look at the UDP socket that does not wait for the runtime to hear of it.
#[derive(Debug)]
pub(crate) struct Spin {
    udp: UdpSocket,
    state: UdpSocketState,
    start: Instant,
    /// When to stop, ns after the start.
    until: AtomicU64,
    /// Turns given to others since the start.
    given: AtomicU32,
}

impl Spin {
    /// On another descriptor of the socket.
    pub(crate) fn new(udp: &UdpSocket) -> io::Result<Self> {
        let udp = udp.try_clone()?;
        let state = UdpSocketState::new((&udp).into())?;
        Ok(Self {
            udp,
            state,
            start: Instant::now(),
            until: AtomicU64::new(0),
            given: AtomicU32::new(TURNS),
        })
    }

    /// From now on, anew.
    pub(crate) fn begin(&self) {
        let until = self.now().saturating_add(TIME.as_nanos() as u64);
        self.until.store(until, Ordering::Relaxed);
        self.given.store(0, Ordering::Relaxed);
    }

    /// Whether to let others have a turn before looking again.
    pub(crate) fn gives_way(&self) -> bool {
        self.given.fetch_add(1, Ordering::Relaxed) < TURNS
    }

    /// Whether the time is not over.
    pub(crate) fn goes_on(&self) -> bool {
        self.now() < self.until.load(Ordering::Relaxed)
    }

    /// Fills buffers with what waits; how many. An error is for who waits on the socket.
    pub(crate) fn receive(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Option<usize> {
        let received = self.state.recv((&self.udp).into(), bufs, meta);
        received.ok().filter(|used| *used > 0)
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
