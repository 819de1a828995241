//! Relays: the way from an uplink's XDP program to the AF_XDP socket of one endpoint.
//!
//! A veth pair of ours, both ends in the host's network namespace and with no route to them. What
//! the uplink sends into [`Relay::near`] comes out of [`Relay::far`], where `stoq_relay` hands it to
//! the socket that is bound there. With no socket the host takes the frame and routes it as if it
//! had come by the uplink, so nothing is lost when a socket goes.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use aya::maps::xdp::XdpMapError;
use aya::maps::{DevMap, MapData, XskMap};
use rustix::io::Errno;
use stoq_ebpf_abi::maps::RELAY_MAC;

use crate::af_xdp::Socket;
use crate::kernel::device::{self, ALIAS};
use crate::kernel::interface::{self, Interface, link_header};
use crate::pinned::{OpenError, open};
use crate::sys::KernelError;
use crate::sys::netlink::{Attributes, Netlink, Reply, Request, u32_of, u64_of};

/// A relay's two devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Id of the endpoint it is for.
    pub endpoint: u32,
    /// The end that frames are sent into.
    pub near: Interface,
    /// The end that they come out of.
    pub far: Interface,
}

impl Relay {
    /// Makes the relay of an endpoint, or takes over the one that is there. `mtu`, in bytes, is the uplinks' largest.
    ///
    /// # Errors
    /// `EEXIST` if a device that is not ours has the name.
    pub fn ensure(endpoint: u32, mtu: u32) -> Result<Self, KernelError> {
        let [near, far] = names(endpoint);
        match interface::by_name(&near) {
            Ok(there) if half_made(&there, &far) => {
                device::delete(there.index)?;
                device::create_veth_down(&near, &far)?;
            }
            Ok(there) if there.alias != ALIAS => return Err(Errno::EXIST.into()),
            Ok(_) => {}
            Err(error) if error.errno == Errno::NODEV => device::create_veth_down(&near, &far)?,
            Err(error) => return Err(error),
        }
        let relay = Self {
            endpoint,
            near: interface::by_name(&near)?,
            far: interface::by_name(&far)?,
        };
        match relay.configure(mtu) {
            Ok(()) => Ok(Self {
                near: interface::by_name(&near)?,
                far: interface::by_name(&far)?,
                ..relay
            }),
            Err(error) => {
                relay.remove()?;
                Err(error)
            }
        }
    }

    /// The relays that are there, whoever made them.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn list() -> Result<Vec<Self>, KernelError> {
        let all = interface::list()?;
        let ours = |name: &str| { all.iter() }.find(|one| one.name == name && one.alias == ALIAS);
        let relay = |near: &Interface| {
            let endpoint = endpoint_of(&near.name)?;
            let [near, far] = names(endpoint).map(|name| ours(&name).cloned());
            Some(Self {
                endpoint,
                near: near?,
                far: far?,
            })
        };
        Ok(all.iter().filter_map(relay).collect())
    }

    /// What came out of it so far.
    ///
    /// # Errors
    /// `ENODEV` if it has gone.
    pub fn traffic(&self) -> Result<Traffic, KernelError> {
        let request = Request::new(libc::RTM_GETLINK, 0).header(&link_header(self.far.index, 0));
        let replies = Netlink::route()?.request(request)?;
        let found = replies.iter().find_map(traffic);
        found.ok_or_else(|| Errno::NODEV.into())
    }

    /// Whether the host takes packets to such an address that come out with no socket behind.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` if it does not: a node may have IPv6 off for new devices.
    pub fn hands_over(&self, address: IpAddr) -> Result<(), KernelError> {
        let request = Request::new(libc::RTM_GETLINK, 0).header(&link_header(self.far.index, 0));
        let replies = Netlink::route()?.request(request)?;
        if address.is_ipv4() || replies.iter().any(takes_v6) {
            return Ok(());
        }
        let words = "new devices take no IPv6: net.ipv6.conf.default.disable_ipv6";
        Err(KernelError {
            errno: Errno::AFNOSUPPORT,
            words: Some(words.to_owned()),
        })
    }

    /// Removes both ends; what is gone already is no error.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn remove(&self) -> Result<(), KernelError> {
        device::delete(self.near.index)
    }

    fn configure(&self, mtu: u32) -> Result<(), KernelError> {
        let mut netlink = Netlink::route()?;
        for end in [&self.near, &self.far] {
            netlink.request(silent(end.index, mtu))?;
            device::set_up(end.index)?;
        }
        netlink.request(forwarding(self.far.index))?;
        match netlink.request(address(&self.far, link_local(self.endpoint))) {
            Err(error) if error.errno != Errno::EXIST => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether it is a pair with a relay's names that was never put up: an agent was killed before it gave
/// both their alias.
fn half_made(near: &Interface, far: &str) -> bool {
    let far = interface::by_name(far);
    let unused = |end: &Interface| end.kind == "veth" && !end.up;
    far.is_ok_and(|far| {
        let named = near.alias == ALIAS && far.alias == ALIAS;
        !named && unused(near) && unused(&far)
    })
}

/// Packets that came out of a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All of them.
    pub packets: u64,
    /// Those that its socket had no room for.
    pub dropped: u64,
}

fn traffic(reply: &Reply) -> Option<Traffic> {
    // struct rtnl_link_stats64, u64 each: packets in, out, bytes in, out, errors in, out, dropped in.
    const PACKETS: usize = 0;
    const DROPPED: usize = 6;
    let attributes = Attributes::at(&reply.payload, interface::HEADER);
    let stats = attributes.get(libc::IFLA_STATS64)?;
    let number = |index: usize| u64_of(stats.get(index * size_of::<u64>()..)?);
    Some(Traffic {
        packets: number(PACKETS)?,
        dropped: number(DROPPED)?,
    })
}

fn takes_v6(reply: &Reply) -> bool {
    const IFLA_INET6_CONF: u16 = 2;
    const DEVCONF_DISABLE_IPV6: usize = 26;
    let families = Attributes::at(&reply.payload, interface::HEADER).nested(libc::IFLA_AF_SPEC);
    let conf = families.nested(libc::AF_INET6 as u16).get(IFLA_INET6_CONF);
    let disabled = conf.and_then(|conf| conf.get(DEVCONF_DISABLE_IPV6 * size_of::<u32>()..));
    disabled.and_then(u32_of) == Some(0)
}

fn endpoint_of(near: &str) -> Option<u32> {
    let number = near.strip_prefix("stoq")?.strip_suffix('a')?;
    number.parse().ok()
}

/// At most 15 bytes.
fn names(endpoint: u32) -> [String; 2] {
    ["a", "b"].map(|end| format!("stoq{endpoint}{end}"))
}

/// Nobody asks who is there: the address is known, and no IPv6 one is made up.
fn silent(index: u32, mtu: u32) -> Request {
    const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
    const NONE: u8 = 1;
    let noarp = libc::IFF_NOARP.cast_unsigned();
    Request::new(libc::RTM_SETLINK, 0)
        .header(&link_header(index, noarp))
        .attribute(libc::IFLA_ADDRESS, &RELAY_MAC)
        .attribute(libc::IFLA_MTU, &mtu.to_ne_bytes())
        .nested(libc::IFLA_AF_SPEC, |families| {
            families.nested(libc::AF_INET6 as u16, |v6| {
                v6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[NONE])
            })
        })
}

/// Frames that come out with no socket behind are routed on, whatever the host thinks of their
/// sources: its own way back to them is by the uplink.
fn forwarding(index: u32) -> Request {
    const IFLA_INET_CONF: u16 = 1;
    const FORWARDING: u16 = 1;
    const RP_FILTER: u16 = 8;
    const LOOSE: u32 = 2;
    Request::new(libc::RTM_SETLINK, 0)
        .header(&link_header(index, 0))
        .nested(libc::IFLA_AF_SPEC, |families| {
            families.nested(libc::AF_INET as u16, |v4| {
                v4.nested(IFLA_INET_CONF, |conf| {
                    conf.attribute(FORWARDING, &1u32.to_ne_bytes())
                        .attribute(RP_FILTER, &LOOSE.to_ne_bytes())
                })
            })
        })
}

/// A loose filter passes only on a device that has an address: one nobody else will want, of the
/// last blocks below those that RFC 3927 reserves.
fn link_local(endpoint: u32) -> Ipv4Addr {
    let [.., high, low] = endpoint.to_be_bytes();
    Ipv4Addr::new(169, 254, 220 + high % 32, low)
}

fn address(end: &Interface, address: Ipv4Addr) -> Request {
    const CREATE_EXCL: u16 = 0x600;
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const HOST: u8 = 32;
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let mut header = [
        libc::AF_INET as u8,
        HOST,
        0,
        libc::RT_SCOPE_LINK,
        0,
        0,
        0,
        0,
    ];
    header[4..].copy_from_slice(&end.index.to_ne_bytes());
    Request::new(libc::RTM_NEWADDR, CREATE_EXCL)
        .header(&header)
        .attribute(IFA_LOCAL, &address.octets())
        .attribute(IFA_ADDRESS, &address.octets())
}

/// The maps that tell the programs which device leads to an endpoint's socket, and which socket that is.
pub struct Steering {
    relays: DevMap<MapData>,
    sockets: XskMap<MapData>,
}

impl Steering {
    /// Opens the maps pinned in `dir`.
    ///
    /// # Errors
    /// The map, and why.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            relays: open(dir, "STOQ_RELAYS")?,
            sockets: open(dir, "STOQ_SOCKETS")?,
        })
    }

    /// Puts a socket, bound to the relay's far end, behind the relay: the socket first, so that
    /// nothing is sent where nobody is.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn connect(&mut self, relay: &Relay, socket: &Socket) -> Result<(), KernelError> {
        self.put(relay.endpoint, socket)?;
        let set = self.relays.set(relay.endpoint, relay.near.index, None, 0);
        set.map_err(refused)
    }

    /// Only tells which socket is the endpoint's.
    pub(crate) fn put(&mut self, endpoint: u32, socket: &Socket) -> Result<(), KernelError> {
        Ok(self.sockets.set(endpoint, socket.as_fd().as_raw_fd(), 0)?)
    }

    /// Takes the socket away; one that is gone already is no error. The device's entry goes with the device.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub fn disconnect(&mut self, endpoint: u32) -> Result<(), KernelError> {
        match self.sockets.unset(endpoint).map_err(KernelError::from) {
            Err(error) if error.errno != Errno::NOENT => Err(error),
            _ => Ok(()),
        }
    }
}

fn refused(error: XdpMapError) -> KernelError {
    match error {
        XdpMapError::MapError(error) => error.into(),
        XdpMapError::ChainedProgramNotSupported => Errno::OPNOTSUPP.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_an_interface_and_addresses_differ() {
        let mut addresses = std::collections::BTreeSet::new();
        for endpoint in 0..stoq_ebpf_abi::maps::ENDPOINTS {
            assert!(names(endpoint).iter().all(|name| name.len() < 16));
            assert!(addresses.insert(link_local(endpoint)), "{endpoint}");
        }
        assert_eq!(addresses.last(), Some(&Ipv4Addr::new(169, 254, 223, 255)));
    }
}
