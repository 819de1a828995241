//! Packets still addressed to a front end: judged by the transport's policy, with
//! the flows of the endpoints behind it.

use stoq_ebpf_abi::guard::Reason;

use super::{
    ANSWERED, BUSY_NODE, CLIENT, CLIENT6, Case, DENIED, DENIED6, ESTABLISHED, FRONT, FRONT6, GONE,
    LOUD, NODE, SERVER, case, hello,
};
use crate::packets::node::Fate::{Dropped, Passed, Unselected};
use crate::packets::quic::{initial, short};
use crate::packets::{Udp, udp};

pub(super) fn cases() -> Vec<Case> {
    [judged(), of_flows()].concat()
}

fn judged() -> Vec<Case> {
    let bad = udp(CLIENT, FRONT).payload(initial().filling(1199));
    vec![
        case("front_initial", hello(CLIENT, FRONT).frame(), Passed),
        case("front_initial_v6", hello(CLIENT6, FRONT6).frame(), Passed),
        case(
            "front_denied",
            hello(DENIED, FRONT).frame(),
            Dropped(Reason::Denied),
        ),
        case(
            "front_denied_v6",
            hello(DENIED6, FRONT6).frame(),
            Dropped(Reason::Denied),
        ),
        case(
            "front_bad_initial",
            bad.frame(),
            Dropped(Reason::ShortInitial),
        ),
        case(
            "front_loud",
            data(LOUD, FRONT).frame(),
            Dropped(Reason::SourceRate),
        ),
        // Nobody has checked a node's packets before.
        case(
            "front_denied_node",
            hello(NODE, FRONT).frame(),
            Dropped(Reason::Denied),
        ),
        case(
            "front_busy_node",
            hello(BUSY_NODE, FRONT).frame(),
            Dropped(Reason::SourceRate),
        ),
        // The port is the front end's alone, and so is the address.
        case(
            "front_end_s_address_pods_port",
            hello(CLIENT, "198.51.100.200:4433").frame(),
            Unselected,
        ),
        case(
            "pods_address_front_end_s_port",
            hello(CLIENT, "198.51.100.1:30443").frame(),
            Unselected,
        ),
    ]
}

fn of_flows() -> Vec<Case> {
    let short_id = || initial().dcid_of(&[7; 4]).filling(1200);
    vec![
        case(
            "established_front_short",
            data(ESTABLISHED, FRONT).frame(),
            Passed,
        ),
        // Which endpoint the node sends it to, the flow says.
        case(
            "established_front_short_of_another_endpoint",
            data(GONE, FRONT).frame(),
            Passed,
        ),
        case(
            "short_of_another_endpoint",
            data(GONE, SERVER).frame(),
            Passed,
        ),
        case(
            "front_answered_short_dcid",
            udp(ANSWERED, FRONT).payload(short_id()).frame(),
            Passed,
        ),
        case(
            "front_short_dcid",
            udp(CLIENT, FRONT).payload(short_id()).frame(),
            Dropped(Reason::ShortDcid),
        ),
    ]
}

fn data(source: &str, destination: &str) -> Udp {
    udp(source, destination).payload(short(false, 99))
}
