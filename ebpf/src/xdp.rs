//! XDP by rtnetlink: who is on an interface, the way in where links do not exist, and the driver's words.
//!
//! `bpf_link_create` keeps the driver's explanation to a tracepoint
//! (<https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c#L9988>); rtnetlink hands it over.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use serde::Serialize;

use crate::kernel::interface::link_header;
use crate::sys::KernelError;
use crate::sys::netlink::{Attributes, Netlink, Request, u32_of};

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the stack, on any device.
    Generic,
    /// On the device.
    Offloaded,
}

impl XdpMode {
    /// `XDP_FLAGS_*_MODE`
    fn flags(self) -> u32 {
        match self {
            Self::Generic => 1 << 1,
            Self::Native => 1 << 2,
            Self::Offloaded => 1 << 3,
        }
    }
}

/// An XDP program found on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// Its mode.
    pub mode: XdpMode,
    /// Its id.
    pub id: u32,
}

const PROGRAM_FD: u16 = 1;
const FLAGS: u16 = 3;
const PER_MODE: [(u16, XdpMode); 3] = [
    (5, XdpMode::Native),
    (6, XdpMode::Generic),
    (7, XdpMode::Offloaded),
];
const EXPECTED_FD: u16 = 8;

/// The programs in an `IFLA_XDP` attribute.
pub(crate) fn parse(attributes: &Attributes<'_>) -> Vec<XdpProgram> {
    let id_of = |kind| attributes.get(kind).and_then(u32_of);
    PER_MODE
        .iter()
        .filter_map(|(kind, mode)| Some((*mode, id_of(*kind)?)))
        .map(|(mode, id)| XdpProgram { mode, id })
        .collect()
}

/// Attaches where no program is.
pub fn attach(ifindex: u32, mode: XdpMode, program: BorrowedFd<'_>) -> Result<(), KernelError> {
    const UPDATE_IF_NOEXIST: u32 = 1;
    set(
        ifindex,
        mode.flags() | UPDATE_IF_NOEXIST,
        Some(program),
        None,
    )
}

/// Replaces `old` in one step, and only `old`.
pub fn replace(
    ifindex: u32,
    mode: XdpMode,
    old: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    set(ifindex, mode.flags() | REPLACE, Some(program), Some(old))
}

/// Detaches `old`, and only `old`.
pub fn detach(ifindex: u32, mode: XdpMode, old: BorrowedFd<'_>) -> Result<(), KernelError> {
    set(ifindex, mode.flags() | REPLACE, None, Some(old))
}

const REPLACE: u32 = 1 << 4;

fn set(
    ifindex: u32,
    flags: u32,
    program: Option<BorrowedFd<'_>>,
    expected: Option<BorrowedFd<'_>>,
) -> Result<(), KernelError> {
    let fd = program.map_or(-1, |fd| fd.as_raw_fd());
    let request = Request::new(libc::RTM_SETLINK, 0)
        .header(&link_header(ifindex, 0))
        .nested(libc::IFLA_XDP, |xdp| {
            let xdp = xdp
                .attribute(PROGRAM_FD, &fd.to_ne_bytes())
                .attribute(FLAGS, &flags.to_ne_bytes());
            match expected {
                Some(old) => xdp.attribute(EXPECTED_FD, &old.as_raw_fd().to_ne_bytes()),
                None => xdp,
            }
        });
    Netlink::route()?.request(request)?;
    Ok(())
}
