//! Traffic control by rtnetlink: the `clsact` qdisc and BPF filters on it, for kernels without TCX.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

use crate::sys::KernelError;
use crate::sys::netlink::{Attributes, Netlink, Reply, Request, string, u32_of};

/// Which way packets go, seen from the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the stack.
    Ingress,
    /// Out of it.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_*)`
    fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

/// A filter on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Way.
    pub direction: Direction,
    /// Lower runs earlier.
    pub priority: u16,
    /// Number within the priority.
    pub handle: u32,
    /// Name of a BPF filter, empty for other kinds.
    pub name: String,
    /// Id of a BPF filter's program.
    pub program_id: Option<u32>,
}

/// Ours run before other filters, whose first priority is 1 as well: the kernel puts the newest handle first.
const PRIORITY: u16 = 1;
/// "STOQ": a handle nobody picks by chance, so that replacing it can only replace our own.
const HANDLE: u32 = 0x5354_4f51;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const CREATE: u16 = 0x400;
const EXCL: u16 = 0x200;

/// Adds the `clsact` qdisc; `false` if there is one already.
pub fn add_qdisc(ifindex: u32) -> Result<bool, KernelError> {
    match Netlink::route()?.request(qdisc(libc::RTM_NEWQDISC, CREATE | EXCL, ifindex)) {
        Ok(_) => Ok(true),
        Err(error) if error.errno == Errno::EXIST => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the `clsact` qdisc with every filter on it.
pub fn remove_qdisc(ifindex: u32) -> Result<(), KernelError> {
    Netlink::route()?.request(qdisc(libc::RTM_DELQDISC, 0, ifindex))?;
    Ok(())
}

fn qdisc(message_type: u16, flags: u16, ifindex: u32) -> Request {
    const TC_H_CLSACT: u32 = 0xffff_fff1;
    let header = header(ifindex, 0xffff_0000, TC_H_CLSACT, 0);
    Request::new(message_type, flags)
        .header(&header)
        .text(TCA_KIND, "clsact")
}

/// Sets our filter of this direction, in one step where it exists already.
pub fn replace(
    ifindex: u32,
    direction: Direction,
    name: &str,
    program: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    const DIRECT_ACTION: u32 = 1;
    let fd = program.as_raw_fd();
    let header = header(ifindex, HANDLE, direction.parent(), info(PRIORITY));
    let request = Request::new(libc::RTM_NEWTFILTER, CREATE)
        .header(&header)
        .text(TCA_KIND, "bpf")
        .nested(TCA_OPTIONS, |options| {
            options
                .attribute(TCA_BPF_FD, &fd.to_ne_bytes())
                .text(TCA_BPF_NAME, name)
                .attribute(TCA_BPF_FLAGS, &DIRECT_ACTION.to_ne_bytes())
        });
    Netlink::route()?.request(request)?;
    Ok(())
}

/// Removes one filter; one that is gone already is no error.
pub fn remove(ifindex: u32, filter: &Filter) -> Result<(), KernelError> {
    let parent = filter.direction.parent();
    let header = header(ifindex, filter.handle, parent, info(filter.priority));
    let request = Request::new(libc::RTM_DELTFILTER, 0)
        .header(&header)
        .text(TCA_KIND, "bpf");
    match Netlink::route()?.request(request) {
        Err(error) if error.errno != Errno::NOENT => Err(error),
        _ => Ok(()),
    }
}

/// The filters of one direction, in the order they run.
pub fn filters(ifindex: u32, direction: Direction) -> Result<Vec<Filter>, KernelError> {
    let header = header(ifindex, 0, direction.parent(), 0);
    let request = Request::dump(libc::RTM_GETTFILTER).header(&header);
    let replies = Netlink::route()?.request(request)?;
    let filters = replies.iter().filter_map(|reply| parse(direction, reply));
    Ok(filters.collect())
}

const HEADER: usize = 20;

/// `struct tcmsg`
fn header(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let words = [ifindex, handle, parent, info];
    for (to, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// Priority, and every protocol in network byte order.
fn info(priority: u16) -> u32 {
    const ETH_P_ALL: u16 = 3;
    u32::from(priority) << 16 | u32::from(ETH_P_ALL.to_be())
}

/// The kernel also lists each priority without a handle: no filter.
fn parse(direction: Direction, reply: &Reply) -> Option<Filter> {
    let handle = u32_of(reply.payload.get(8..)?)?;
    if reply.message_type != libc::RTM_NEWTFILTER || handle == 0 {
        return None;
    }
    let info = u32_of(reply.payload.get(16..)?)?;
    let options = Attributes::at(&reply.payload, HEADER).nested(TCA_OPTIONS);
    Some(Filter {
        direction,
        priority: u16::try_from(info >> 16).ok()?,
        handle,
        name: options.get(TCA_BPF_NAME).map(string).unwrap_or_default(),
        program_id: options.get(TCA_BPF_ID).and_then(u32_of),
    })
}
