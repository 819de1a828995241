//! The AF_XDP side of a receiver: a session with the node's broker, for as long as there is one.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use stoq_ebpf::af_xdp::{Geometry, Receiver, Rings, Socket, Umem};
use stoq_ebpf::broker::{ChannelError, Granted, Hello, Message, Resume, receive, send};

/// Between two attempts to reach the broker.
const RETRY: Duration = Duration::from_millis(50);

/// A session that is begun anew, or resumed, whenever it was cut.
pub(super) struct Session {
    broker: PathBuf,
    endpoint: SocketAddr,
    frames: u32,
    channel: Option<OwnedFd>,
    granted: Option<Granted>,
    receiver: Option<Receiver>,
    /// What still waits in the receiver is all that will come by it.
    over: bool,
    next: Instant,
    /// What was said of it, for the report.
    pub(super) story: Vec<String>,
}

impl Session {
    pub(super) fn new(broker: &Path, endpoint: SocketAddr, frames: u32) -> Self {
        Self {
            broker: broker.to_owned(),
            endpoint,
            frames,
            channel: None,
            granted: None,
            receiver: None,
            over: false,
            next: Instant::now(),
            story: Vec::new(),
        }
    }

    /// What is to be waited for.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let channel = self.channel.iter().map(|fd| fd.as_fd());
        channel.chain(self.receiver.iter().map(|receiver| receiver.as_fd()))
    }

    /// Shows up to `most` packets that wait.
    pub(super) fn receive(&mut self, most: usize, mut each: impl FnMut(&[u8])) -> usize {
        let Some(receiver) = &mut self.receiver else {
            return 0;
        };
        let came = receiver.receive(most, |packet| {
            let mut bytes = vec![0; packet.len()];
            if packet.copy_to(0, &mut bytes) {
                each(&bytes);
            }
        });
        if came == 0 && self.over {
            (self.receiver, self.over) = (None, false);
        }
        came
    }

    /// Does what is to be done, without waiting.
    pub(super) fn tend(&mut self) {
        if self.channel.is_none() && !self.over && Instant::now() >= self.next {
            self.next = Instant::now() + RETRY;
            if let Err(error) = self.call() {
                self.tell(format!("unreachable: {error}"));
            }
        }
        self.over &= self.receiver.is_some();
        while let Some(channel) = &self.channel {
            match receive(channel.as_fd()) {
                Ok((message, fds)) => self.hear(message, fds),
                Err(ChannelError::Socket(Errno::WOULDBLOCK)) => return,
                Err(error) => {
                    self.tell(format!("cut: {error}"));
                    self.channel = None;
                }
            }
        }
    }

    fn call(&mut self) -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(&self.broker)?)?;
        let endpoint = self.endpoint;
        match (self.granted, &self.receiver) {
            (Some(granted), Some(receiver)) => {
                let message = Message::Resume(Resume { granted, endpoint });
                send(socket.as_fd(), &message, &[receiver.as_fd()])?;
            }
            _ => send(
                socket.as_fd(),
                &Message::Hello(hello(endpoint, self.frames)?),
                &[],
            )?,
        }
        self.channel = Some(socket);
        Ok(())
    }

    fn hear(&mut self, message: Message, fds: Vec<OwnedFd>) {
        match message {
            Message::Granted(granted) => {
                if !fds.is_empty()
                    && let Err(error) = self.open(granted, fds)
                {
                    self.tell(format!("unusable: {error}"));
                    return;
                }
                self.tell(format!("granted {}", granted.session));
                self.say(&Message::Ready);
            }
            Message::Steered(on) => {
                self.tell(format!("steered {on}"));
                if !on {
                    self.say(&Message::Ready);
                }
            }
            Message::Refused(why) => {
                self.tell(format!("refused {:?}: {}", why.reason, why.text));
                (self.granted, self.over) = (None, true);
            }
            other => self.tell(format!("strange: {other:?}")),
        }
    }

    fn open(&mut self, granted: Granted, fds: Vec<OwnedFd>) -> Result<(), String> {
        let Ok([memfd, socket]) = <[OwnedFd; 2]>::try_from(fds) else {
            return Err("not two descriptors".into());
        };
        let umem = Umem::open(memfd, granted.geometry).map_err(|error| error.to_string())?;
        let receiver = Receiver::open(Socket::from(socket), umem, granted.rings);
        self.receiver = Some(receiver.map_err(|error| error.to_string())?);
        self.granted = Some(granted);
        Ok(())
    }

    fn say(&self, message: &Message) {
        if let Some(channel) = &self.channel {
            // If it was cut, that shows at the next look.
            let _ = send(channel.as_fd(), message, &[]);
        }
    }

    fn tell(&mut self, line: String) {
        if self.story.last() != Some(&line) {
            println!("{line}");
            self.story.push(line);
        }
    }
}

fn hello(endpoint: SocketAddr, frames: u32) -> Result<Hello, Errno> {
    let geometry = Geometry::new(frames, 2048).map_err(|_| Errno::INVAL)?;
    Ok(Hello {
        endpoint,
        geometry,
        rings: Rings {
            fill: frames,
            receive: frames,
        },
    })
}
