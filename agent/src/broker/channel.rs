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
        // Not rustix's: a process of another PID namespace has the id 0, which it takes for an error.
        Ok(self.0.peer_cred()?.uid())
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    /// As every pod is for an agent in a container. Runs itself again as that agent.
    #[tokio::test]
    async fn a_user_is_told_of_a_process_that_cannot_be_seen() {
        const NAME: &str =
            "broker::channel::tests::a_user_is_told_of_a_process_that_cannot_be_seen";
        const INSIDE: &str = "STOQ_TEST_IN_A_PID_NAMESPACE";
        let user = rustix::process::geteuid();
        if std::env::var_os(INSIDE).is_some() {
            let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            assert_eq!(Channel::new(socket).unwrap().user().unwrap(), user.as_raw());
            return;
        }
        if !user.is_root() {
            let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!in_ci, "CI must run this as root");
            eprintln!("skipped: PID namespaces need root");
            return;
        }
        let (agent, _pod) = pair();
        let mut again = Command::new("unshare");
        again.args(["--pid", "--fork", "--kill-child"]);
        again.arg(std::env::current_exe().unwrap());
        again.args(["--exact", NAME, "--nocapture"]);
        let ended = again.env(INSIDE, "1").stdin(agent).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        let words = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("1 passed"), "{said}{words}");
    }
}
