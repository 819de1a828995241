//! The devices STOQ makes: veth pairs that carry its alias.

use crate::kernel::interface::{self, link_header};
use crate::sys::KernelError;
use crate::sys::netlink::{Netlink, Request};

/// Alias of every device STOQ made; `cleanup` removes what bears it.
pub const ALIAS: &str = "stoq";

/// Makes a veth pair, both ends with the alias and up.
pub fn create_veth(name: &str, peer: &str) -> Result<(), KernelError> {
    create_veth_down(name, peer)?;
    for end in [name, peer] {
        let index = interface::by_name(end)?.index;
        if let Err(error) = set_up(index) {
            delete(index)?;
            return Err(error);
        }
    }
    Ok(())
}

/// Puts a device up.
pub(crate) fn set_up(index: u32) -> Result<(), KernelError> {
    let up = link_header(index, libc::IFF_UP.cast_unsigned());
    Netlink::route()?.request(Request::new(libc::RTM_SETLINK, 0).header(&up))?;
    Ok(())
}

/// The same, both ends still down: what they are not to say when they come up can be set before.
pub(crate) fn create_veth_down(name: &str, peer: &str) -> Result<(), KernelError> {
    let mut netlink = Netlink::route()?;
    netlink.request(veth(name, peer))?;
    for end in [name, peer] {
        if let Err(error) = adopt(&mut netlink, end) {
            delete(interface::by_name(name)?.index)?;
            return Err(error);
        }
    }
    Ok(())
}

/// Removes a device, of a veth pair both ends; one that is gone already is no error.
pub fn delete(index: u32) -> Result<(), KernelError> {
    let request = Request::new(libc::RTM_DELLINK, 0).header(&link_header(index, 0));
    match Netlink::route()?.request(request) {
        Err(error) if error.errno != rustix::io::Errno::NODEV => Err(error),
        _ => Ok(()),
    }
}

/// Sets the MTU, in bytes.
pub fn set_mtu(index: u32, mtu: u32) -> Result<(), KernelError> {
    let request = Request::new(libc::RTM_SETLINK, 0)
        .header(&link_header(index, 0))
        .attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
    Netlink::route()?.request(request)?;
    Ok(())
}

fn veth(name: &str, peer: &str) -> Request {
    const NLM_F_CREATE_EXCL: u16 = 0x600;
    const INFO_KIND: u16 = 1;
    const INFO_DATA: u16 = 2;
    const VETH_INFO_PEER: u16 = 1;
    Request::new(libc::RTM_NEWLINK, NLM_F_CREATE_EXCL)
        .header(&link_header(0, 0))
        .text(libc::IFLA_IFNAME, name)
        .nested(libc::IFLA_LINKINFO, |info| {
            info.text(INFO_KIND, "veth").nested(INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |end| {
                    end.header(&link_header(0, 0)).text(libc::IFLA_IFNAME, peer)
                })
            })
        })
}

fn adopt(netlink: &mut Netlink, name: &str) -> Result<(), KernelError> {
    let index = interface::by_name(name)?.index;
    let request = Request::new(libc::RTM_SETLINK, 0)
        .header(&link_header(index, 0))
        .text(libc::IFLA_IFALIAS, ALIAS);
    netlink.request(request)?;
    Ok(())
}
