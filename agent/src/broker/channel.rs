//! A connection to a pod, in tokio's terms.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Plain;

use rustix::io::Errno;
use stoq_ebpf::broker::{ChannelError, Message, receive, send};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Of type `SOCK_SEQPACKET`: tokio's stream is only asked when it is readable.
pub(super) struct Channel(UnixStream);

impl Channel {
    /// Over a connected socket that does not block.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(UnixStream::from_std(Plain::from(socket))?))
    }

    /// The user that the other end's process ran as when it connected.
    pub(super) fn user(&self) -> io::Result<u32> {
        let peer = rustix::net::sockopt::socket_peercred(&self.0)?;
        Ok(peer.uid.as_raw())
    }

    pub(super) async fn receive(&self) -> Result<(Message, Vec<OwnedFd>), ChannelError> {
        let mut outcome = Err(ChannelError::Closed);
        let received = self.0.async_io(Interest::READABLE, || {
            outcome = receive(self.0.as_fd());
            match outcome {
                Err(ChannelError::Socket(Errno::WOULDBLOCK)) => Err(Errno::WOULDBLOCK.into()),
                _ => Ok(()),
            }
        });
        let received: io::Result<()> = received.await;
        match received {
            Ok(()) => outcome,
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO).into()),
        }
    }

    /// A pod that does not read is not waited for.
    pub(super) fn send(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        send(self.0.as_fd(), message, fds)
    }
}
