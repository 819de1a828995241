//! A connection to a pod, in tokio's terms.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Plain;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use stoq_ebpf::broker::{ChannelError, Message, Refused, receive, send};
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

    /// The last message. To close with something unread would reset the connection, and the pod would
    /// read that in place of the message.
    pub(super) fn refuse(self, why: Refused) {
        // It may have gone already.
        let _ = self.send(&Message::Refused(why), &[]);
        let _ = shutdown(&self.0, Shutdown::Read);
        while let Ok(_) | Err(ChannelError::Wire(_)) = receive(self.0.as_fd()) {}
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
    use stoq_ebpf::broker::Reason;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_arrives_whatever_the_pod_has_said() {
        let why = Refused {
            reason: Reason::Busy,
            text: "too many".into(),
        };
        for said in [&[][..], &[&b"x"[..], b"STOQ", &[0; 4096]]] {
            let (agent, pod) = pair();
            for packet in said {
                rustix::net::send(&pod, packet, SendFlags::empty()).unwrap();
            }
            Channel::new(agent).unwrap().refuse(why.clone());
            let late = send(pod.as_fd(), &Message::Ready, &[]);
            assert_eq!(late, Err(Errno::PIPE));
            let (heard, _) = receive(pod.as_fd()).unwrap();
            assert_eq!(heard, Message::Refused(why.clone()));
            assert_eq!(receive(pod.as_fd()).unwrap_err(), ChannelError::Closed);
        }
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
