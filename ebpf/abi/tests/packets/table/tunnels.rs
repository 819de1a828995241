//! Tunnels: only the uplink looks inside, and only one deep.

use stoq_ebpf_abi::guard::Reason;
use stoq_ebpf_abi::parse::Unparsed;

use super::{CLIENT, CLIENT6, Case, SERVER, SERVER6, STRANGER, case, hello, patched};
use crate::packets::node::Fate::{self, Dropped, Passed, Unselected};
use crate::packets::quic::initial;
use crate::packets::{ETHER_BRIDGING, Udp, VLAN, geneve, ip_in_ip, udp, vxlan};

/// Cutting the frame makes the outer UDP length wrong, before anything inside.
const MALFORMED_OUTSIDE: Fate = Fate::Unparsed(Unparsed::Malformed);

pub(super) fn cases() -> Vec<Case> {
    [vxlan_cases(), geneve_cases(), ip_cases()].concat()
}

/// A bad Initial inside: found at the uplink, out of the pod's sight.
fn found(name: &'static str, frame: Vec<u8>) -> Case {
    Case {
        uplink: Dropped(Reason::ShortInitial),
        ..case(name, frame, Unselected)
    }
}

fn outer(port: u16) -> Udp {
    udp("10.0.0.1:50000", &format!("10.0.0.2:{port}"))
}

fn outer6() -> Udp {
    udp("[fd00::1]:50000", "[fd00::2]:8472")
}

fn bad() -> Udp {
    udp(CLIENT, SERVER).payload(initial().filling(1199))
}

fn bad6() -> Udp {
    udp(CLIENT6, SERVER6).payload(initial().filling(1199))
}

fn vxlan_cases() -> Vec<Case> {
    let flags = outer(4789).frame().len();
    let plain = vxlan(outer(4789), &bad().frame());
    let nested = vxlan(outer(4789), &plain.frame());
    let good = Case {
        uplink: Passed,
        ..case(
            "vxlan_good",
            vxlan(outer(4789), &hello(CLIENT, SERVER).frame()).frame(),
            Unselected,
        )
    };
    vec![
        good,
        found("vxlan", plain.frame()),
        found("vxlan_linux", vxlan(outer(8472), &bad().frame()).frame()),
        found("vxlan_v6_in_v6", vxlan(outer6(), &bad6().frame()).frame()),
        found(
            "vxlan_tagged",
            vxlan(outer(4789), &bad().tag(VLAN).frame())
                .tag(VLAN)
                .frame(),
        ),
        case(
            "vxlan_without_vni",
            patched(plain.frame(), flags, 0),
            Unselected,
        ),
        case(
            "vxlan_other_port",
            vxlan(outer(4790), &bad().frame()).frame(),
            Unselected,
        ),
        case("vxlan_in_vxlan", nested.frame(), Unselected),
        case(
            "vxlan_cut",
            plain.frame()[..flags + 8 + 13].to_vec(),
            MALFORMED_OUTSIDE,
        ),
        case(
            "vxlan_nobodys",
            {
                let inner = hello(CLIENT, STRANGER).frame();
                vxlan(outer(4789), &inner).frame()
            },
            Unselected,
        ),
        case(
            "vxlan_fragment_inside",
            {
                let inner = bad().fragment(0x2000).frame();
                vxlan(outer(4789), &inner).frame()
            },
            Unselected,
        ),
    ]
}

fn geneve_cases() -> Vec<Case> {
    let tunnel = |options, protocol| geneve(outer(6081), options, protocol, &bad().frame()).frame();
    vec![
        found("geneve", tunnel(0, ETHER_BRIDGING)),
        found("geneve_one_option", tunnel(1, ETHER_BRIDGING)),
        found("geneve_all_options", tunnel(63, ETHER_BRIDGING)),
        case("geneve_version_1", tunnel(0x40, ETHER_BRIDGING), Unselected),
        case("geneve_other_protocol", tunnel(0, 0x0800), Unselected),
    ]
}

fn ip_cases() -> Vec<Case> {
    let (v4, v6) = (outer(1), outer6());
    vec![
        found("ipip", ip_in_ip(&v4, &bad())),
        found(
            "ipip_with_options",
            ip_in_ip(&v4.clone().options(3), &bad().options(2)),
        ),
        found("6in4", ip_in_ip(&v4, &bad6())),
        found("4in6", ip_in_ip(&v6, &bad())),
        found("6in6", ip_in_ip(&v6, &bad6())),
        case(
            "ipip_fragment",
            ip_in_ip(&v4.fragment(0x2000), &bad()),
            Unselected,
        ),
    ]
}
