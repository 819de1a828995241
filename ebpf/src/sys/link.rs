//! BPF links to network devices: XDP (5.9) and TCX (6.6).

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::KernelError;
use super::bpf::{Command, bpf, bpf_fd};

/// `BPF_XDP`, also what an XDP program for a link is loaded for.
pub(super) const XDP: u32 = 37;

/// What a link is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// XDP in the driver.
    XdpNative,
    /// XDP in the stack.
    XdpGeneric,
    /// First of the TCX programs on the way in.
    TcxIngress,
    /// First of the TCX programs on the way out.
    TcxEgress,
}

impl LinkKind {
    fn attach_type(self) -> u32 {
        match self {
            Self::XdpNative | Self::XdpGeneric => XDP,
            Self::TcxIngress => 46,
            Self::TcxEgress => 47,
        }
    }

    /// XDP: the mode; TCX: `BPF_F_BEFORE` relative to nothing, which is the front.
    fn flags(self) -> u32 {
        match self {
            Self::XdpNative => 1 << 2,
            Self::XdpGeneric => 1 << 1,
            Self::TcxIngress | Self::TcxEgress => 1 << 3,
        }
    }
}

/// Attaches `program` to the device; the link holds until its last descriptor or pin goes.
pub fn create(
    kind: LinkKind,
    ifindex: u32,
    program: BorrowedFd<'_>,
) -> Result<OwnedFd, KernelError> {
    let mut attr = [
        program.as_raw_fd().cast_unsigned(),
        ifindex,
        kind.attach_type(),
        kind.flags(),
    ];
    // SAFETY: the first four words of BPF_LINK_CREATE, no pointer among them.
    Ok(unsafe { bpf_fd(Command::LinkCreate, &mut attr) }?)
}

/// Puts another program in the link's place, in one step.
pub fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), KernelError> {
    let mut attr = [
        link.as_raw_fd().cast_unsigned(),
        program.as_raw_fd().cast_unsigned(),
        0,
        0,
    ];
    // SAFETY: {link, new program, flags, old program}, no pointer among them.
    unsafe { bpf(Command::LinkUpdate, &mut attr) }?;
    Ok(())
}

/// Detaches at once, whoever else holds the link (5.9).
pub fn detach(link: BorrowedFd<'_>) -> Result<(), KernelError> {
    let mut attr = [link.as_raw_fd().cast_unsigned()];
    // SAFETY: one word, no pointer.
    unsafe { bpf(Command::LinkDetach, &mut attr) }?;
    Ok(())
}

/// `struct bpf_link_info`, of which XDP and TCX use the device index.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct RawInfo {
    link_type: u32,
    id: u32,
    prog_id: u32,
    pad: u32,
    ifindex: u32,
    attach_type: u32,
}

/// A link as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Id, unique on the machine.
    pub id: u32,
    /// The program it runs.
    pub program_id: u32,
    /// The device it is on; 0 once that device is gone.
    pub ifindex: u32,
}

/// Asks the kernel about a link; `EINVAL` if it is neither XDP nor TCX.
pub fn info(link: BorrowedFd<'_>) -> Result<LinkInfo, KernelError> {
    const LINK_TYPES: [u32; 2] = [6, 11];
    let mut raw = RawInfo::default();
    super::program::object_info(link, &mut raw)?;
    if !LINK_TYPES.contains(&raw.link_type) {
        return Err(Errno::INVAL.into());
    }
    Ok(LinkInfo {
        id: raw.id,
        program_id: raw.prog_id,
        ifindex: raw.ifindex,
    })
}

#[repr(C)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// Ids of the programs at a device's TCX hook, in the order they run; at most 64.
pub fn tcx_programs(kind: LinkKind, ifindex: u32) -> Result<Vec<u32>, KernelError> {
    let mut ids = vec![0u32; 64];
    let mut attr = QueryAttr {
        target_ifindex: ifindex,
        attach_type: kind.attach_type(),
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        pad: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `prog_ids` is writable for `prog_cnt` ids; the other pointers are null, which the kernel skips.
    match unsafe { bpf(Command::ProgQuery, &mut attr) } {
        Ok(_) => ids.truncate(attr.prog_cnt as usize),
        Err(Errno::NOENT) => ids.clear(),
        Err(errno) => return Err(errno.into()),
    }
    Ok(ids)
}
