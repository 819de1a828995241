//! AF_XDP sockets, receive only: memory shared with the kernel (UMEM), the rings over it, and the
//! frames that come in.
//!
//! Who has the privilege makes a [`Umem`] and a [`Socket`] and binds it; who has none may be handed
//! both descriptors and receives with a [`Receiver`]. A bound socket can be bound to nothing else.

mod frames;
mod intake;
mod mapping;
mod receiver;
mod ring;
mod socket;
mod umem;

pub use intake::{Counts, Packet};
pub use receiver::Receiver;
pub use socket::{Mode, Rings, Socket, Statistics};
pub use umem::{Geometry, GeometryError, Umem};

pub(crate) use mapping::Mapping;

/// Plays an arbitrary script: a kernel that receives, calls to receive, and writes of any bytes to
/// rings and frames between them; at its end the peer is honest again. A panic is a finding.
#[cfg(feature = "fuzz")]
pub fn hostile(script: &[u8]) {
    intake::hostile(script);
}
