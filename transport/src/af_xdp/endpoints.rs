//! Which endpoints a bound socket is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The endpoints of a socket bound to `local`: itself, or with a wildcard one for each family it takes,
/// as far as `source` knows an address of it.
pub(super) fn endpoints(
    local: SocketAddr,
    source: impl Fn(IpAddr) -> Option<IpAddr>,
) -> Vec<SocketAddr> {
    // Documentation's own (RFC 5737, RFC 3849): no route leads there but the default one.
    const SOMEWHERE_4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const SOMEWHERE_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let addresses = match local.ip().to_canonical() {
        IpAddr::V4(v4) if v4.is_unspecified() => vec![source(SOMEWHERE_4)],
        IpAddr::V6(v6) if v6.is_unspecified() => vec![source(SOMEWHERE_4), source(SOMEWHERE_6)],
        address => vec![Some(address)],
    };
    let with_port = |address| SocketAddr::new(address, local.port());
    addresses.into_iter().flatten().map(with_port).collect()
}

/// The endpoints of a socket bound to `local` on an interface with these addresses: itself, or with a wildcard every
/// address of the families it takes. Those of the link alone are left out: who sends to them can be answered only by
/// an interface that a frame's headers don't name.
pub(super) fn on_interface(local: SocketAddr, addresses: &[IpAddr]) -> Vec<SocketAddr> {
    let bound = local.ip().to_canonical();
    if !bound.is_unspecified() {
        return vec![SocketAddr::new(bound, local.port())];
    }
    let takes = |address: &&IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => bound.is_ipv6() && !v6.is_unicast_link_local(),
    };
    let addresses = addresses.iter().filter(takes);
    addresses
        .map(|address| SocketAddr::new(*address, local.port()))
        .collect()
}

/// The address from which the host sends to `destination`; `None` if it can't. Nothing is sent.
pub(super) fn source(destination: IpAddr) -> Option<IpAddr> {
    const DISCARD: u16 = 9;
    let any: IpAddr = match destination {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((destination, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_the_endpoints_that_its_address_means() {
        let both: &[&str] = &["10.0.0.7:4433", "[2001:db8:7::1]:4433"];
        let cases: &[(&str, &[&str])] = &[
            ("10.0.0.1:4433", &["10.0.0.1:4433"]),
            ("[2001:db8::1]:4433", &["[2001:db8::1]:4433"]),
            ("[::ffff:10.0.0.1]:4433", &["10.0.0.1:4433"]),
            ("0.0.0.0:4433", &both[..1]),
            ("[::]:4433", both),
        ];
        let source = |destination: IpAddr| {
            let known = if destination.is_ipv4() {
                "10.0.0.7"
            } else {
                "2001:db8:7::1"
            };
            known.parse().ok()
        };
        for (local, expected) in cases {
            let found = endpoints(local.parse().unwrap(), source);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, *expected, "{local}");
        }
    }

    #[test]
    fn a_family_without_an_address_is_left_out() {
        let v6_only = |destination: IpAddr| {
            destination
                .is_ipv6()
                .then_some("2001:db8:7::1")
                .and_then(|v6| v6.parse().ok())
        };
        let found = endpoints("[::]:4433".parse().unwrap(), v6_only);
        assert_eq!(found, ["[2001:db8:7::1]:4433".parse().unwrap()]);
        assert_eq!(endpoints("0.0.0.0:4433".parse().unwrap(), v6_only), []);
    }

    #[test]
    fn on_an_interface_a_wildcard_is_the_interface_s_own_addresses() {
        let addresses = ["10.0.0.7", "10.0.0.8", "2001:db8:7::1", "fe80::1"];
        let addresses = addresses.map(|address| address.parse().unwrap());
        let v4: &[&str] = &["10.0.0.7:4433", "10.0.0.8:4433"];
        let both: &[&str] = &["10.0.0.7:4433", "10.0.0.8:4433", "[2001:db8:7::1]:4433"];
        let cases: &[(&str, &[&str])] = &[
            ("0.0.0.0:4433", v4),
            ("[::]:4433", both),
            ("10.0.0.9:4433", &["10.0.0.9:4433"]),
            ("[::ffff:10.0.0.9]:4433", &["10.0.0.9:4433"]),
        ];
        for (local, expected) in cases {
            let found = on_interface(local.parse().unwrap(), &addresses);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, *expected, "{local}");
        }
        assert_eq!(on_interface("0.0.0.0:4433".parse().unwrap(), &[]), []);
    }

    #[test]
    fn the_loopback_is_reached_from_itself() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(source(loopback), Some(loopback));
    }
}
