//! Ethernet, IP and UDP: what is read, what is left to the kernel.

use stoq_ebpf_abi::guard::Reason;
use stoq_ebpf_abi::parse::Unparsed;

use super::{CLIENT, CLIENT6, Case, DNS, SERVER, SERVER6, STRANGER, case, hello, patched};
use crate::packets::node::Fate::{self, Dropped, Passed, Unselected};
use crate::packets::quic::initial;
use crate::packets::{
    DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, QINQ, ROUTING, Udp, VLAN, ethernet, udp,
};

const MALFORMED: Fate = Fate::Unparsed(Unparsed::Malformed);
const FRAGMENTED: Fate = Fate::Unparsed(Unparsed::Fragment);
const TOO_DEEP: Fate = Fate::Unparsed(Unparsed::TooDeep);
/// The proof that a frame was read to its QUIC header: a bad Initial is found.
const READ: Fate = Dropped(Reason::ShortInitial);

pub(super) fn cases() -> Vec<Case> {
    [ethernet_cases(), v4_cases(), v6_cases(), udp_cases()].concat()
}

fn bad() -> Udp {
    udp(CLIENT, SERVER).payload(initial().filling(1199))
}

fn bad6() -> Udp {
    udp(CLIENT6, SERVER6).payload(initial().filling(1199))
}

fn ethernet_cases() -> Vec<Case> {
    let good = hello(CLIENT, SERVER);
    let arp = ethernet(&[], 0x0806, &[0; 46]);
    vec![
        case("good_initial", good.frame(), Passed),
        case(
            "nobodys_destination",
            hello(CLIENT, STRANGER).frame(),
            Unselected,
        ),
        case("bad_initial", bad().frame(), READ),
        case("one_tag", bad().tag(VLAN).frame(), READ),
        case("two_tags", bad().tag(VLAN).tag(VLAN).frame(), READ),
        case("qinq", bad().tag(QINQ).tag(VLAN).frame(), READ),
        case(
            "three_tags",
            bad().tag(QINQ).tag(VLAN).tag(VLAN).frame(),
            Unselected,
        ),
        case("arp", arp, Unselected),
        case(
            "nothing_behind_ethernet",
            ethernet(&[], 0x0800, &[]),
            Unselected,
        ),
        case(
            "nothing_behind_a_tag",
            ethernet(&[VLAN], 0x0800, &[]),
            Unselected,
        ),
    ]
}

fn v4_cases() -> Vec<Case> {
    let protocol = 14 + 9;
    vec![
        case("one_option", bad().options(1).frame(), READ),
        case("all_options", bad().options(10).frame(), READ),
        case("first_fragment", bad().fragment(0x2000).frame(), FRAGMENTED),
        case(
            "middle_fragment",
            bad().fragment(0x2010).frame(),
            FRAGMENTED,
        ),
        case("last_fragment", bad().fragment(0x0010).frame(), FRAGMENTED),
        case("dont_fragment", bad().fragment(0x4000).frame(), READ),
        case("reserved_flag", bad().fragment(0x8000).frame(), READ),
        case(
            "version_6_as_ipv4",
            patched(bad().frame(), 14, 0x65),
            MALFORMED,
        ),
        case(
            "header_of_16_bytes",
            patched(bad().frame(), 14, 0x44),
            MALFORMED,
        ),
        case("tcp", patched(bad().frame(), protocol, 6), Unselected),
        case("icmp", patched(bad().frame(), protocol, 1), Unselected),
        case("ipv4_cut", bad().frame()[..14 + 19].to_vec(), MALFORMED),
        case(
            "ipv4_cut_early",
            bad().frame()[..14 + 9].to_vec(),
            Unselected,
        ),
    ]
}

fn v6_cases() -> Vec<Case> {
    let deep = |headers| (0..headers).fold(bad6(), |packet, _| packet.extension(HOP_BY_HOP, 0));
    let next_header = 14 + 6;
    vec![
        case("good_initial_v6", hello(CLIENT6, SERVER6).frame(), Passed),
        case("bad_initial_v6", bad6().frame(), READ),
        case("hop_by_hop", bad6().extension(HOP_BY_HOP, 0).frame(), READ),
        case("routing", bad6().extension(ROUTING, 2).frame(), READ),
        case(
            "destination_options",
            bad6().extension(DESTINATION_OPTIONS, 1).frame(),
            READ,
        ),
        case(
            "fragment_header",
            bad6().extension(FRAGMENT, 0).frame(),
            FRAGMENTED,
        ),
        case("six_extensions", deep(6).frame(), READ),
        case("seven_extensions", deep(7).frame(), TOO_DEEP),
        case(
            "icmp6",
            patched(bad6().frame(), next_header, 58),
            Unselected,
        ),
        case(
            "no_next_header",
            patched(bad6().frame(), next_header, 59),
            Unselected,
        ),
        case(
            "authentication_header",
            patched(bad6().frame(), next_header, 51),
            Unselected,
        ),
        case("ipv6_cut", bad6().frame()[..14 + 39].to_vec(), Unselected),
        case(
            "extension_cut",
            bad6().extension(ROUTING, 0).frame()[..14 + 41].to_vec(),
            MALFORMED,
        ),
    ]
}

fn udp_cases() -> Vec<Case> {
    let query = |bytes| udp(CLIENT, DNS).payload(vec![7; bytes]);
    vec![
        case("udp_endpoint", query(30).frame(), Passed),
        case("empty_datagram", udp(CLIENT, SERVER).frame(), Passed),
        case("ethernet_padding", query(2).trailer(16).frame(), Passed),
        case("bad_initial_and_padding", bad().trailer(7).frame(), READ),
        case("length_zero", bad().udp_length(0).frame(), MALFORMED),
        case("length_zero_v6", bad6().udp_length(0).frame(), READ),
        case("length_seven", bad().udp_length(7).frame(), MALFORMED),
        case(
            "length_below_the_packet",
            hello(CLIENT, SERVER).udp_length(1207).frame(),
            READ,
        ),
        case(
            "length_above_the_frame",
            bad().udp_length(1208).frame(),
            MALFORMED,
        ),
        case("udp_cut", bad().frame()[..14 + 20 + 5].to_vec(), MALFORMED),
        case(
            "udp_without_checksum_field",
            bad().frame()[..14 + 20 + 6].to_vec(),
            MALFORMED,
        ),
    ]
}
