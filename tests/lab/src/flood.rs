//! A flood: packets of several kinds, mixed, from millions of sources, at the rate of the wire.
//!
//! The kernel makes the packets: `BPF_PROG_TEST_RUN` with live frames runs `lab_flood` once for
//! each, and it redirects them out of the client's interface. What is offered is counted there,
//! kind by kind, to the packet. The far end of the interface, a veth, must have an XDP program or
//! GRO on: without either the kernel takes no redirected frame there, and all of them vanish.

mod capture;
mod control;
mod frame;
mod kernel;
mod kind;
mod noise;
mod options;
mod pace;
mod report;
mod schedule;
mod sender;
mod templates;

pub use control::Control;
pub use frame::Target;
pub use kind::{DENIED, Kind, LOUD, Mix, SPOOFED};
pub use noise::LOUD_SIZE;
pub use options::Options;
pub use report::{Offered, Report};
pub use sender::Flood;
