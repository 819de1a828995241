//! Putting programs on interfaces, and taking them off again.
//!
//! A hook is held by a pinned link wherever the kernel has links, so that it outlives the process and a new program
//! takes the old one's place in one step. Everything acts in the calling thread's network namespace.

pub mod cleanup;
mod clsact;
mod error;
pub mod ladder;
mod link;
mod names;
mod own;
mod pins;

use std::os::fd::BorrowedFd;
use std::path::Path;

use serde::Serialize;

pub use error::AttachError;
pub use own::{Attachment, list_ours};
pub use pins::Pins;

use crate::sys::link::LinkKind;
use crate::sys::{KernelError, program};
use crate::tc::Direction;
use crate::xdp::XdpMode;

/// A rung of the ladder, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the stack.
    Generic,
    /// TCX (6.6).
    Tcx,
    /// A filter on the `clsact` qdisc.
    Clsact,
    /// Nothing.
    None,
}

/// Where on an interface a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum HookKind {
    /// XDP in the driver.
    XdpNative,
    /// XDP in the stack.
    XdpGeneric,
    /// TCX on the way into the stack, ordered first.
    TcxIngress,
    /// TCX on the way out, ordered first.
    TcxEgress,
    /// `clsact` on the way into the stack.
    ClsactIngress,
    /// `clsact` on the way out.
    ClsactEgress,
}

impl HookKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::XdpNative,
        Self::XdpGeneric,
        Self::TcxIngress,
        Self::TcxEgress,
        Self::ClsactIngress,
        Self::ClsactEgress,
    ];

    /// The rung this hook belongs to.
    pub fn mode(self) -> Mode {
        match self {
            Self::XdpNative => Mode::Native,
            Self::XdpGeneric => Mode::Generic,
            Self::TcxIngress | Self::TcxEgress => Mode::Tcx,
            Self::ClsactIngress | Self::ClsactEgress => Mode::Clsact,
        }
    }

    fn place(self) -> Place {
        match self {
            Self::XdpNative => Place::Link(LinkKind::XdpNative),
            Self::XdpGeneric => Place::Link(LinkKind::XdpGeneric),
            Self::TcxIngress => Place::Link(LinkKind::TcxIngress),
            Self::TcxEgress => Place::Link(LinkKind::TcxEgress),
            Self::ClsactIngress => Place::Filter(Direction::Ingress),
            Self::ClsactEgress => Place::Filter(Direction::Egress),
        }
    }

    fn xdp(self) -> Option<XdpMode> {
        match self {
            Self::XdpNative => Some(XdpMode::Native),
            Self::XdpGeneric => Some(XdpMode::Generic),
            _ => None,
        }
    }
}

/// How the kernel holds a hook.
enum Place {
    Link(LinkKind),
    Filter(Direction),
}

/// One place on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hook {
    /// Name of the interface.
    pub interface: String,
    /// Its index: tells a device that came back from the one that went away.
    pub ifindex: u32,
    /// Where on it.
    pub kind: HookKind,
    /// Name of the program (`stoq_*`), which is also the name of a `clsact` filter.
    pub program: String,
}

/// What [`attach`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The rung.
    pub mode: Mode,
    /// Id of the program now in place.
    pub program_id: u32,
}

/// Puts `program` at the hook: in one step in place of our own older one, or anew.
///
/// Links are pinned in `links`, a directory of a BPF file system. An XDP hook gives up our own program in the other
/// XDP mode first, since the kernel takes only one. Programs of others are left alone.
///
/// # Errors
///
/// With the stable reason and the kernel's words.
pub fn attach(hook: &Hook, program: BorrowedFd<'_>, links: &Path) -> Result<Attached, AttachError> {
    let info = program::info(program).map_err(|e| AttachError::refused(hook.kind, &e))?;
    match hook.kind.place() {
        Place::Link(kind) => link::attach(hook, kind, program, links)?,
        Place::Filter(direction) => clsact::attach(hook, direction, program, links)?,
    }
    Ok(Attached {
        mode: hook.kind.mode(),
        program_id: info.id,
    })
}

/// Takes our program off the hook; nothing there is no error.
pub fn detach(hook: &Hook, links: &Path) -> Result<(), KernelError> {
    match hook.kind.place() {
        Place::Link(_) => link::detach(hook, links),
        Place::Filter(direction) => clsact::detach(hook, direction, links),
    }
}

/// Names of our programs and filters begin so.
const PREFIX: &str = "stoq_";
