//! Network interfaces, by rtnetlink.

use crate::sys::KernelError;
use crate::sys::netlink::{Attributes, Netlink, Reply, Request, string, u32_of};
use crate::xdp::{self, XdpProgram};

/// An interface as rtnetlink describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Index in this namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Alias, empty if none is set.
    pub alias: String,
    /// Kind of a virtual device (`veth`, `bridge`), empty for hardware.
    pub kind: String,
    /// Maximum transmission unit, bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// XDP programs on it, one per mode.
    pub xdp: Vec<XdpProgram>,
}

/// All interfaces.
pub fn list() -> Result<Vec<Interface>, KernelError> {
    let request = Request::dump(libc::RTM_GETLINK)
        .header(&link_header(0, 0))
        .attribute(IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes());
    let replies = Netlink::route()?.request(request)?;
    Ok(replies.iter().filter_map(parse).collect())
}

/// The interface of this name; `ENODEV` if there is none.
pub fn by_name(name: &str) -> Result<Interface, KernelError> {
    one(get(0).text(libc::IFLA_IFNAME, name))
}

/// The interface of this index; `ENODEV` if there is none.
pub fn by_index(index: u32) -> Result<Interface, KernelError> {
    one(get(index))
}

fn get(index: u32) -> Request {
    Request::new(libc::RTM_GETLINK, 0).header(&link_header(index, 0))
}

fn one(request: Request) -> Result<Interface, KernelError> {
    let replies = Netlink::route()?.request(request)?;
    let found = replies.iter().find_map(parse);
    found.ok_or_else(|| rustix::io::Errno::NODEV.into())
}

/// `RTEXT_FILTER_SKIP_STATS`
const SKIP_STATS: u32 = 1 << 3;
const IFLA_EXT_MASK: u16 = 29;
/// Bytes of `struct ifinfomsg`.
pub(crate) const HEADER: usize = 16;

/// `struct ifinfomsg` that sets the flags it names.
pub(crate) fn link_header(index: u32, flags: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn parse(reply: &Reply) -> Option<Interface> {
    if reply.message_type != libc::RTM_NEWLINK {
        return None;
    }
    let header = reply.payload.first_chunk::<HEADER>()?;
    let attributes = Attributes::at(&reply.payload, HEADER);
    let text = |kind| attributes.get(kind).map(string).unwrap_or_default();
    let flags = u32_of(&header[8..])?;
    Some(Interface {
        index: u32_of(&header[4..])?,
        name: text(libc::IFLA_IFNAME),
        alias: text(libc::IFLA_IFALIAS),
        kind: kind(&attributes),
        mtu: attributes.get(libc::IFLA_MTU).and_then(u32_of)?,
        up: flags & libc::IFF_UP.cast_unsigned() != 0,
        xdp: xdp::parse(&attributes.nested(libc::IFLA_XDP)),
    })
}

fn kind(attributes: &Attributes<'_>) -> String {
    const INFO_KIND: u16 = 1;
    let info = attributes.nested(libc::IFLA_LINKINFO);
    info.get(INFO_KIND).map(string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_found_by_name_and_by_index() {
        let lo = by_name("lo").unwrap();
        assert_eq!((lo.index, lo.mtu), (1, 65536));
        assert_eq!(by_index(1).unwrap(), lo);
        assert!(list().unwrap().contains(&lo));
    }

    #[test]
    fn an_unknown_name_is_no_device() {
        let error = by_name("stoq-none").unwrap_err();
        assert_eq!(error.errno, rustix::io::Errno::NODEV);
    }

    #[test]
    fn a_message_without_the_essentials_is_skipped() {
        let reply = |payload: &[u8]| Reply {
            message_type: libc::RTM_NEWLINK,
            payload: payload.to_vec(),
        };
        assert_eq!(parse(&reply(&[])), None);
        assert_eq!(parse(&reply(&[0; HEADER])), None);
    }
}
