//! Addresses of interfaces, by rtnetlink.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sys::KernelError;
use crate::sys::netlink::{Attributes, Netlink, Reply, Request, u32_of};

/// The addresses of an interface, both families.
///
/// # Errors
/// What the kernel said to it.
pub fn addresses(ifindex: u32) -> Result<Vec<IpAddr>, KernelError> {
    let request = Request::dump(libc::RTM_GETADDR).header(&[0; HEADER]);
    let replies = Netlink::route()?.request(request)?;
    let all = replies.iter().filter_map(parse);
    let own = all.filter(|(index, _)| *index == ifindex);
    Ok(own.map(|(_, address)| address).collect())
}

/// Bytes of `struct ifaddrmsg`: family, prefix length, flags, scope, index.
const HEADER: usize = 8;

fn parse(reply: &Reply) -> Option<(u32, IpAddr)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    if reply.message_type != libc::RTM_NEWADDR {
        return None;
    }
    let index = u32_of(reply.payload.get(4..HEADER)?)?;
    let attributes = Attributes::at(&reply.payload, HEADER);
    // Where both are there and differ, the other is the far end's.
    let address = attributes.get(IFA_LOCAL).or(attributes.get(IFA_ADDRESS))?;
    let address = match address.len() {
        4 => Ipv4Addr::from(*address.first_chunk::<4>()?).into(),
        16 => Ipv6Addr::from(*address.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some((index, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address_and_no_device_none() {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert!(addresses(1).unwrap().contains(&loopback));
        assert_eq!(addresses(u32::MAX).unwrap(), Vec::<IpAddr>::new());
    }

    #[test]
    fn of_a_wire_s_two_ends_the_own_counts() {
        let attribute = |kind: u8, octets: [u8; 4]| [&[8, 0, kind, 0], &octets[..]].concat();
        let header = [libc::AF_INET as u8, 32, 0, 0, 7, 0, 0, 0];
        let far = attribute(1, [10, 0, 0, 2]);
        let own = attribute(2, [10, 0, 0, 1]);
        let reply = |payload| Reply {
            message_type: libc::RTM_NEWADDR,
            payload,
        };
        let both = reply([&header[..], &far, &own].concat());
        assert_eq!(parse(&both), Some((7, [10, 0, 0, 1].into())));
        assert_eq!(parse(&reply(header.to_vec())), None);
    }
}
