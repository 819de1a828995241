use super::*;
use crate::packets::{self, FRAGMENT, HOP_BY_HOP, QINQ, VLAN, udp};

const PEER_4: &str = "192.0.2.9:40000";
const POD_4: &str = "10.0.0.1:4433";
const PEER_6: &str = "[2001:db8::9]:40000";
const POD_6: &str = "[2001:db8::1]:4433";

/// The datagram and its payload.
fn read(frame: &[u8]) -> Option<(Datagram, Vec<u8>)> {
    let bytes = &frame[..frame.len().min(HEADERS)];
    let len = frame.len();
    let found = datagram(&Headers { bytes, len })?;
    Some((found, frame[found.at..found.at + found.len].to_vec()))
}

#[test]
fn a_datagram_is_found_behind_whatever_headers() {
    for (packet, peer, pod) in [
        (udp(PEER_4, POD_4), PEER_4, POD_4),
        (udp(PEER_4, POD_4).options(10), PEER_4, POD_4),
        (udp(PEER_4, POD_4).tag(VLAN).tag(QINQ), PEER_4, POD_4),
        (udp(PEER_4, POD_4).trailer(14), PEER_4, POD_4),
        (udp(PEER_6, POD_6), PEER_6, POD_6),
        (udp(PEER_6, POD_6).tag(VLAN), PEER_6, POD_6),
        (udp(PEER_6, POD_6).extension(HOP_BY_HOP, 4), PEER_6, POD_6),
    ] {
        let packet = packet.payload([7; 1200]);
        let frame = packet.frame();
        let (found, payload) = read(&frame).unwrap();
        let expected = Datagram {
            source: peer.parse().unwrap(),
            destination: pod.parse::<SocketAddr>().unwrap().ip(),
            ecn: None,
            at: packet.payload_at(),
            len: 1200,
        };
        assert_eq!(found, expected, "{packet:?}");
        assert_eq!(payload, [7; 1200]);
    }
}

#[test]
fn congestion_marks_are_kept() {
    let marks = [
        (0, None),
        (1, Some(EcnCodepoint::Ect1)),
        (2, Some(EcnCodepoint::Ect0)),
        (3, Some(EcnCodepoint::Ce)),
    ];
    // A DSCP beside the mark, in IPv6 over two bytes, and a flow label.
    const DSCP: u8 = 46;
    for (bits, mark) in marks {
        for tags in 0..=2 {
            let class = DSCP << 2 | bits;
            let tagged =
                |packet| (0..tags).fold(packet, |packet: packets::Udp, _| packet.tag(VLAN));
            let ip = 14 + 4 * tags;
            let mut frame = tagged(udp(PEER_4, POD_4)).payload([1]).frame();
            frame[ip + 1] = class;
            assert_eq!(read(&frame).unwrap().0.ecn, mark, "{bits} {tags}");
            let mut frame = tagged(udp(PEER_6, POD_6)).payload([1]).frame();
            frame[ip] = 0x60 | class >> 4;
            frame[ip + 1] = class << 4 | 0xf;
            assert_eq!(read(&frame).unwrap().0.ecn, mark, "{bits} {tags}");
        }
    }
}

#[test]
fn what_is_no_whole_datagram_is_none() {
    const MORE: u16 = 0x2000;
    let four = || udp(PEER_4, POD_4).payload([1; 100]);
    let six = || udp(PEER_6, POD_6).payload([1; 100]);
    let vxlan = packets::vxlan(udp(PEER_4, "10.0.0.1:4789"), &four().frame()).frame();
    for (what, frame) in [
        ("nothing", vec![]),
        ("ARP", packets::ethernet(&[], 0x0806, &[0; 28])),
        ("a first fragment", four().fragment(MORE).frame()),
        ("a later fragment", four().fragment(100).frame()),
        ("a fragment", six().extension(FRAGMENT, 0).frame()),
        ("a length beyond the frame", four().udp_length(109).frame()),
        ("a length beyond the frame", six().udp_length(109).frame()),
        ("a length below the header's", four().udp_length(7).frame()),
        ("an empty datagram", udp(PEER_4, POD_4).frame()),
        ("a tunnel", vxlan),
    ] {
        assert_eq!(read(&frame), None, "{what}");
    }
}

#[test]
fn a_frame_cut_anywhere_is_none() {
    for packet in [udp(PEER_4, POD_4).tag(VLAN), udp(PEER_6, POD_6)] {
        let frame = packet.payload([1; 100]).frame();
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), None, "{end}");
        }
    }
}
