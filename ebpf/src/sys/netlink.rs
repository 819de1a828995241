//! Netlink by hand: one request, its answers, and the kernel's words when it refuses.

mod attribute;
mod message;

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

pub use attribute::{Attributes, string, u32_of, u64_of};
pub use message::Request;

use super::KernelError;
use message::{Answer, answers};

/// One answer: message type and payload behind the netlink header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `RTM_*` or a generic netlink family.
    pub message_type: u16,
    /// Family header and attributes.
    pub payload: Vec<u8>,
}

/// A netlink socket in the calling thread's network namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Links, qdiscs, filters.
    pub fn route() -> Result<Self, KernelError> {
        Self::open(None)
    }

    /// Families named at run time.
    pub fn generic() -> Result<Self, KernelError> {
        Self::open(Some(rustix::net::netlink::GENERIC))
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> Result<Self, KernelError> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        // Nothing here may hang, whatever the kernel does.
        set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(5)))?;
        let this = Self {
            socket,
            sequence: 0,
        };
        this.ask_for_words()?;
        Ok(this)
    }

    /// Kernels before 4.12 have no extended acknowledgements: then there are no words, which is no failure.
    fn ask_for_words(&self) -> Result<(), KernelError> {
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            match set_option(&self.socket, option) {
                Ok(()) | Err(Errno::NOPROTOOPT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Sends a request and collects every answer up to the acknowledgement or the end of the dump.
    pub fn request(&mut self, request: Request) -> Result<Vec<Reply>, KernelError> {
        self.sequence += 1;
        let bytes = request.finish(self.sequence)?;
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        self.receive()
    }

    fn receive(&self) -> Result<Vec<Reply>, KernelError> {
        let mut replies = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (read, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            for answer in answers(&buffer[..read], self.sequence) {
                match answer {
                    Answer::Data(reply) => replies.push(reply),
                    Answer::End(None) => return Ok(replies),
                    Answer::End(Some(error)) => return Err(error),
                }
            }
        }
    }
}

fn set_option(socket: &OwnedFd, option: i32) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is one int, alive for the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
