//! QUIC: what no correct client sends, and all that one may.

use stoq_ebpf_abi::guard::Reason;
use stoq_ebpf_abi::quic::Kind;

use super::{ANSWERED, CLIENT, Case, DNS, ESTABLISHED, SERVER, case};
use crate::packets::node::Fate::{Dropped, Passed};
use crate::packets::quic::{Long, coalesced, initial, long, padded, short};
use crate::packets::udp;

pub(super) fn cases() -> Vec<Case> {
    [initials(), ids(), other_kinds(), coalesced_cases()].concat()
}

fn to_server(payload: Vec<u8>) -> Vec<u8> {
    udp(CLIENT, SERVER).payload(payload).frame()
}

fn initials() -> Vec<Case> {
    let short_initial = Dropped(Reason::ShortInitial);
    let small = padded(initial().bytes(), 1199);
    vec![
        case("initial_1200", to_server(initial().filling(1200)), Passed),
        case(
            "initial_1199",
            to_server(initial().filling(1199)),
            short_initial,
        ),
        case(
            "initial_1199_zeroes_behind",
            to_server(small),
            short_initial,
        ),
        case(
            "initial_padded_behind",
            to_server(padded(initial().bytes(), 1200)),
            Passed,
        ),
        case(
            "initial_v2",
            to_server(initial().v2().filling(1200)),
            Passed,
        ),
        case(
            "initial_v2_1199",
            to_server(initial().v2().filling(1199)),
            short_initial,
        ),
        case(
            "initial_greased",
            to_server(initial().greased().filling(1200)),
            Passed,
        ),
        case(
            "initial_greased_1199",
            to_server(initial().greased().filling(1199)),
            short_initial,
        ),
        case(
            "initial_with_token",
            to_server(initial().token(70).filling(1200)),
            Passed,
        ),
        case(
            "initial_cut_at_version",
            to_server(initial().bytes()[..5].to_vec()),
            short_initial,
        ),
        case(
            "initial_to_plain_udp",
            udp(CLIENT, DNS).payload(initial().filling(1199)).frame(),
            Passed,
        ),
        case(
            "initial_of_established",
            udp(ESTABLISHED, SERVER)
                .payload(initial().filling(1199))
                .frame(),
            short_initial,
        ),
    ]
}

fn ids() -> Vec<Case> {
    let (long_cid, short_dcid) = (Dropped(Reason::LongCid), Dropped(Reason::ShortDcid));
    let filled = |packet: Long| to_server(packet.filling(1200));
    let later = |packet: Long| udp(ANSWERED, SERVER).payload(packet.filling(1200)).frame();
    vec![
        case("dcid_0", filled(initial().dcid(0)), short_dcid),
        case("dcid_7", filled(initial().dcid(7)), short_dcid),
        case("dcid_8", filled(initial().dcid(8)), Passed),
        case("dcid_20", filled(initial().dcid(20)), Passed),
        case("dcid_21", filled(initial().dcid(21)), long_cid),
        case("dcid_255", filled(initial().dcid(255)), long_cid),
        case("scid_0", filled(initial().scid(0)), Passed),
        case("scid_20", filled(initial().scid(20)), Passed),
        case("scid_21", filled(initial().scid(21)), long_cid),
        case("scid_255", filled(initial().scid(255)), long_cid),
        case("later_dcid_0", later(initial().dcid(0)), Passed),
        case("later_dcid_4", later(initial().dcid(4)), Passed),
        case("later_dcid_21", later(initial().dcid(21)), long_cid),
        case(
            "handshake_dcid_0",
            filled(long(Kind::Handshake).dcid(0)),
            Passed,
        ),
        case(
            "handshake_dcid_21",
            filled(long(Kind::Handshake).dcid(21)),
            long_cid,
        ),
        case(
            "unknown_dcid_255",
            filled(initial().version(9).dcid(255).scid(255)),
            Passed,
        ),
    ]
}

fn other_kinds() -> Vec<Case> {
    let kind = |kind| to_server(long(kind).bytes());
    let v2 = |kind| to_server(long(kind).v2().bytes());
    vec![
        case("zero_rtt", kind(Kind::ZeroRtt), Passed),
        case("handshake", kind(Kind::Handshake), Passed),
        case("retry", kind(Kind::Retry), Passed),
        case("zero_rtt_v2", v2(Kind::ZeroRtt), Passed),
        case("handshake_v2", v2(Kind::Handshake), Passed),
        case("retry_v2", v2(Kind::Retry), Passed),
        case(
            "version_negotiation",
            to_server(initial().version(0).bytes()),
            Passed,
        ),
        case(
            "unknown_version",
            to_server(initial().version(0x0a1a_2a3a).bytes()),
            Passed,
        ),
        case(
            "draft_29",
            to_server(initial().version(0xff00_001d).bytes()),
            Passed,
        ),
        case("long_header_of_one_byte", to_server(vec![0xc3]), Passed),
        case("short", to_server(short(false, 30)), Passed),
        case("short_of_one_byte", to_server(short(true, 1)), Passed),
        case("short_greased", to_server(vec![0x21; 25]), Passed),
    ]
}

fn coalesced_cases() -> Vec<Case> {
    let with_0rtt = coalesced([initial().bytes(), long(Kind::ZeroRtt).bytes()]);
    let last = coalesced([long(Kind::Handshake).bytes(), initial().bytes()]);
    vec![
        case(
            "initial_and_0rtt",
            to_server(padded(with_0rtt.clone(), 1200)),
            Passed,
        ),
        case(
            "initial_and_0rtt_1199",
            to_server(padded(with_0rtt, 1199)),
            Dropped(Reason::ShortInitial),
        ),
        case("handshake_then_initial", to_server(last), Passed),
    ]
}
