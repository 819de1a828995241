//! A bound socket and its receiving end.

use std::os::fd::{AsFd, BorrowedFd};

use super::intake::{Counts, Intake, Packet};
use super::socket::{Mode, Rings, Socket, Statistics};
use super::umem::Umem;
use crate::sys::KernelError;

/// The receiving end of a bound socket. Nobody else may have one on the same rings.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    umem: Umem,
    intake: Intake,
}

impl Receiver {
    /// Maps the rings, which are of these sizes, and offers the kernel every frame there is room for.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn open(socket: Socket, umem: Umem, rings: Rings) -> Result<Self, KernelError> {
        let (fill, receive) = socket.map_rings(rings)?;
        let receiver = Self {
            intake: Intake::new(umem.geometry(), fill, receive),
            socket,
            umem,
        };
        receiver.wake();
        Ok(receiver)
    }

    /// Shows up to `most` waiting packets to `each`; how many there were. None is no error.
    pub fn receive(&mut self, most: usize, each: impl FnMut(Packet<'_>)) -> usize {
        let packets = self.intake.receive(self.umem.memory(), most, each);
        self.wake();
        packets
    }

    fn wake(&self) {
        if self.intake.wants_wakeup() {
            self.socket.wake();
        }
    }

    /// Whether the kernel has a free frame to receive into.
    pub fn is_primed(&self) -> bool {
        self.intake.is_primed()
    }

    /// What came in so far.
    pub fn counts(&self) -> Counts {
        self.intake.counts()
    }

    /// What was lost on the last steps.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn statistics(&self) -> Result<Statistics, KernelError> {
        self.socket.statistics()
    }

    /// How the socket was bound.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn mode(&self) -> Result<Mode, KernelError> {
        self.socket.mode()
    }
}

/// Readable while packets wait.
impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
