//! Looking for packets without waiting for the runtime to say that there are some.

use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use quinn::udp::{RecvMeta, UdpSocketState};

/// How long to look, after something was sent or received.
const TIME: Duration = Duration::from_micros(50);
/// Turns, after something was sent or received, in which the thread's other tasks just come first.
const TURNS: u32 = 4;
/// Bytes sent after which to look, if nobody has looked since: a tenth of a millisecond at 10 Gbit/s.
const SENT: u32 = 128 << 10;

/// A look at the UDP socket that does not wait for the runtime to hear of it. A runtime with much to
/// do asks the kernel for news after each 61 turns of its tasks; where these send in bulk that is
/// milliseconds, and acknowledgements would wait so long.
#[derive(Debug)]
pub(crate) struct Look {
    udp: UdpSocket,
    state: UdpSocketState,
    /// Bytes sent since the last look.
    sent: AtomicU32,
    /// The task that receives, while it waits.
    waker: Mutex<Option<Waker>>,
}

impl Look {
    /// On another descriptor of the socket.
    pub(crate) fn new(udp: &UdpSocket) -> io::Result<Self> {
        let udp = udp.try_clone()?;
        let state = UdpSocketState::new((&udp).into())?;
        Ok(Self {
            udp,
            state,
            sent: AtomicU32::new(0),
            waker: Mutex::new(None),
        })
    }

    /// So many bytes were sent. Who receives gets a turn when they are many.
    pub(crate) fn sent(&self, bytes: usize) {
        let bytes = bytes as u32;
        let before = self.sent.fetch_add(bytes, Ordering::Relaxed);
        if before < SENT && before.saturating_add(bytes) >= SENT {
            let waker = self.waiting().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether it is time to look; then it will be again when as many have been sent.
    pub(crate) fn is_due(&self) -> bool {
        self.sent.swap(0, Ordering::Relaxed) >= SENT
    }

    /// There was nothing, and the task waits.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waiting = self.waiting();
        match &mut *waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
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

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For a bounded time looks again and again.
#[derive(Debug)]
pub(crate) struct Spin {
    start: Instant,
    /// When to stop, ns after the start.
    until: AtomicU64,
    /// Turns given to others since the beginning.
    given: AtomicU32,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            until: AtomicU64::new(0),
            given: AtomicU32::new(TURNS),
        }
    }

    /// From now on, anew.
    pub(crate) fn begin(&self) {
        let until = self.now().saturating_add(TIME.as_nanos() as u64);
        self.until.store(until, Ordering::Relaxed);
        self.given.store(0, Ordering::Relaxed);
    }

    /// Whether the time is not over.
    pub(crate) fn goes_on(&self) -> bool {
        self.now() < self.until.load(Ordering::Relaxed)
    }

    /// Has the task polled again after others. At first these are the tasks that can run by now: with
    /// much to do they would never come to an end. Later it is all of them, those that they wake, what
    /// `block_on` runs, and the runtime's question to the kernel what is ready. More of the former
    /// would keep the latter waiting, and have the runtime wake other threads to share the work.
    pub(crate) fn give_way(&self, cx: &mut Context<'_>) {
        if self.given.fetch_add(1, Ordering::Relaxed) < TURNS {
            cx.waker().wake_by_ref();
        } else {
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn look() -> Look {
        Look::new(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap()
    }

    #[test]
    fn who_receives_has_a_turn_after_much_was_sent() {
        let (look, woken) = (look(), Arc::new(Woken::default()));
        let waker = woken.clone().into();
        look.wait(&Context::from_waker(&waker));
        let trains = SENT.div_ceil(60_000);
        for train in 1..=2 * trains {
            look.sent(60_000);
            let expected = u32::from(train >= trains);
            assert_eq!(woken.0.load(Ordering::Relaxed), expected, "{train}");
        }
    }

    #[test]
    fn it_is_due_once() {
        let look = look();
        assert!(!look.is_due());
        look.sent(SENT as usize);
        assert!(look.is_due());
        assert!(!look.is_due());
        look.sent(1);
        assert!(!look.is_due());
    }
}
