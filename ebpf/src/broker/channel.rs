//! Messages and descriptors over a socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::wire::LONGEST;
use super::{Message, WireError, decode, encode};

/// Most descriptors a message carries.
const DESCRIPTORS: usize = 2;

/// Why no message could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The other end has closed.
    #[error("the other end has closed the connection")]
    Closed,
    /// What came is no message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The socket refused; `WOULDBLOCK` where it does not wait.
    #[error("{0}")]
    Socket(#[from] Errno),
}

/// Sends one message, with descriptors; a full socket is waited for only if it blocks.
///
/// # Errors
/// What the socket said to it.
pub fn send(
    socket: BorrowedFd<'_>,
    message: &Message,
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOBIG);
    }
    let bytes = encode(message);
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// The next message, and the descriptors that came with it. Those of a message that is none are closed.
///
/// # Errors
/// A closed connection, what is no message, and what the socket said.
pub fn receive(socket: BorrowedFd<'_>) -> Result<(Message, Vec<OwnedFd>), ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // One byte more, to know a message that is too long.
    let mut bytes = [0; LONGEST + 1];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        flags,
    )?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.bytes == 0 && !received.flags.contains(ReturnFlags::TRUNC) {
        return Err(ChannelError::Closed);
    }
    let message = decode(bytes.get(..received.bytes).unwrap_or(&bytes))?;
    Ok((message, fds))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::super::wire::tests::messages;
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    #[test]
    fn messages_arrive_one_by_one_with_their_descriptors() {
        let (agent, pod) = pair();
        let file = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 4321).unwrap();
        for message in messages() {
            let fds = vec![file.as_fd(); 2];
            send(agent.as_fd(), &message, &fds).unwrap();
            send(agent.as_fd(), &message, &[]).unwrap();
        }
        for message in messages() {
            let (got, fds) = receive(pod.as_fd()).unwrap();
            assert_eq!(got, message);
            let sizes = fds.iter().map(|fd| rustix::fs::fstat(fd).unwrap().st_size);
            assert_eq!(sizes.collect::<Vec<_>>(), [4321, 4321]);
            let (got, fds) = receive(pod.as_fd()).unwrap();
            assert_eq!((got, fds.len()), (message, 0));
        }
        assert_eq!(
            receive(pod.as_fd()).unwrap_err(),
            ChannelError::Socket(Errno::WOULDBLOCK)
        );
        drop(agent);
        assert_eq!(receive(pod.as_fd()).unwrap_err(), ChannelError::Closed);
    }

    #[test]
    fn garbage_is_told_from_a_message_and_does_no_harm() {
        let (agent, pod) = pair();
        for garbage in [
            &b"x"[..],
            &[0; 12],
            &[0xff; 4096],
            b"STOQ\x01\0\x04\0\0\0\0\0more",
        ] {
            rustix::net::send(&agent, garbage, SendFlags::empty()).unwrap();
            let refused = receive(pod.as_fd()).unwrap_err();
            assert!(matches!(refused, ChannelError::Wire(_)), "{refused:?}");
        }
        send(agent.as_fd(), &Message::Ready, &[]).unwrap();
        assert_eq!(receive(pod.as_fd()).unwrap().0, Message::Ready);
    }

    #[test]
    fn nobody_at_the_other_end_is_no_signal() {
        let (agent, pod) = pair();
        drop(pod);
        assert_eq!(send(agent.as_fd(), &Message::Ready, &[]), Err(Errno::PIPE));
    }
}
