//! What the agent and a pod say to each other to hand over an AF_XDP socket: version 1.
//!
//! `docs/afxdp-protocol.md` is the page for who writes a client.
//!
//! One message is one packet of a Unix socket of type `SOCK_SEQPACKET`, numbers little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic, `STOQ` |
//! | 4..6 | version, 1 |
//! | 6..8 | type |
//! | 8..12 | length of the body |
//! | 12.. | body, of a fixed length for each type |
//!
//! The pod says [`Hello`], the agent [`Granted`] with the descriptors of the UMEM and of a bound
//! socket, or [`Refused`]. Once its rings are primed the pod says [`Message::Ready`], and the agent
//! tells with [`Message::Steered`] whether packets are sent that way. Told that they no longer are, a
//! pod whose rings are primed may say `Ready` again. The session lasts as long as the connection;
//! only if the agent dies does it outlive it, and the pod says [`Resume`] to the next agent.

mod channel;
#[cfg(test)]
mod page;
mod wire;

pub use channel::{ChannelError, receive, send};
pub use wire::{WireError, decode, encode};

use std::net::{IpAddr, SocketAddr};

use crate::af_xdp::{Geometry, Rings};

/// The version of the protocol spoken here.
pub const VERSION: u16 = 1;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1, pod to agent.
    Hello(Hello),
    /// Type 2, agent to pod, with two descriptors: the UMEM's memfd, and the socket.
    Granted(Granted),
    /// Type 3, agent to pod.
    Refused(Refused),
    /// Type 4, pod to agent: the fill ring has frames.
    Ready,
    /// Type 5, agent to pod: whether its packets come by the socket from now on.
    Steered(bool),
    /// Type 6, pod to agent, with one descriptor: the socket of a session that another agent granted.
    Resume(Resume),
}

/// What the pod asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The endpoint: an address and UDP port of the pod.
    pub endpoint: SocketAddr,
    /// The memory it would like.
    pub geometry: Geometry,
    /// The rings it would like.
    pub rings: Rings,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Tells sessions apart in logs and metrics.
    pub session: u64,
    /// The memory, perhaps less than was asked for.
    pub geometry: Geometry,
    /// The rings.
    pub rings: Rings,
}

/// A session that outlived the agent that granted it. The answer is [`Granted`] without
/// descriptors, or [`Refused`]; then the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// What was granted.
    pub granted: Granted,
    /// To this endpoint.
    pub endpoint: SocketAddr,
}

/// Why it gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For programs.
    pub reason: Reason,
    /// For people; at most [`TEXT_LEN`] bytes arrive.
    pub text: String,
}

/// Longest text of a refusal, bytes of UTF-8.
pub const TEXT_LEN: usize = 120;

/// Why the agent refuses. The numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Reason {
    /// The message can't be understood.
    Malformed = 1,
    /// The version is not spoken here.
    Version = 2,
    /// No transport selects this address and port.
    NoEndpoint = 3,
    /// The endpoint belongs to somebody else.
    NotYours = 4,
    /// The transport's `afXdp` is `Disabled`.
    Disabled = 5,
    /// The endpoint has a session, or the node has as many as it may.
    Busy = 6,
    /// This node can't do it.
    NotSupported = 7,
    /// There is no memory for it.
    NoMemory = 8,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Version,
        Self::NoEndpoint,
        Self::NotYours,
        Self::Disabled,
        Self::Busy,
        Self::NotSupported,
        Self::NoMemory,
    ];

    fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| *reason as u16 == number)
    }
}

/// IPv4 is mapped on the wire.
fn unmapped(octets: [u8; 16]) -> IpAddr {
    IpAddr::from(octets).to_canonical()
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
