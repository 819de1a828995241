//! CIDRs, limits and what is exempt from them.

use stoq_ebpf_abi::guard::Reason;

use super::{
    ANSWERED, BUSY_NODE, CLIENT6, Case, DENIED, DENIED6, DNS, EAGER, ESTABLISHED, EXEMPT, LOUD,
    NODE, PARDONED, SERVER, SERVER6, case, hello,
};
use crate::packets::node::Fate::{Dropped, Passed};
use crate::packets::quic::{initial, short};
use crate::packets::{Udp, udp};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "denied",
            hello(DENIED, SERVER).frame(),
            Dropped(Reason::Denied),
        ),
        case(
            "denied_v6",
            hello(DENIED6, SERVER6).frame(),
            Dropped(Reason::Denied),
        ),
        case(
            "denied_elsewhere",
            udp(DENIED, DNS).payload([1; 9]).frame(),
            Passed,
        ),
        case(
            "longer_prefix_pardons",
            hello(PARDONED, SERVER).frame(),
            Passed,
        ),
        case("denied_node", hello(NODE, SERVER).frame(), Passed),
        case("busy_node", hello(BUSY_NODE, SERVER).frame(), Passed),
        case(
            "busy_node_bad_initial",
            udp(BUSY_NODE, SERVER)
                .payload(initial().filling(1199))
                .frame(),
            Dropped(Reason::ShortInitial),
        ),
        case("loud", data(LOUD).frame(), Dropped(Reason::SourceRate)),
        case(
            "loud_initial",
            hello(LOUD, SERVER).frame(),
            Dropped(Reason::SourceRate),
        ),
        case(
            "loud_elsewhere",
            udp(LOUD, DNS).payload([1; 9]).frame(),
            Passed,
        ),
        case(
            "eager",
            hello(EAGER, SERVER).frame(),
            Dropped(Reason::SourceInitialRate),
        ),
        case("eager_short", data(EAGER).frame(), Passed),
        case("exempt", hello(EXEMPT, SERVER).frame(), Passed),
        case("established_short", data(ESTABLISHED).frame(), Passed),
        case("answered_short", data(ANSWERED).frame(), Passed),
        case(
            "unknown_short_v6",
            udp(CLIENT6, SERVER6).payload(short(true, 99)).frame(),
            Passed,
        ),
    ]
}

fn data(source: &str) -> Udp {
    udp(source, SERVER).payload(short(false, 99))
}
