//! What the parser finds, and where.

mod packets;

use packets::table::{CLIENT, CLIENT6, SERVER, SERVER6, host};
use packets::{
    DESTINATION_OPTIONS, ETHER_BRIDGING, HOP_BY_HOP, Offloaded, QINQ, ROUTING, Udp, VLAN, geneve,
    ip_in_ip, udp, vxlan,
};
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::parse::{self, Datagram, Unparsed};

fn v4() -> Udp {
    udp(CLIENT, SERVER).payload([9; 33])
}

fn v6() -> Udp {
    udp(CLIENT6, SERVER6).payload([9; 33])
}

/// What the frame at `at` is: a datagram, or why not.
fn read<B: Bytes + ?Sized>(frame: &B, at: usize) -> Result<Datagram, Option<Unparsed>> {
    let mut datagram = Datagram::default();
    let parsed = parse::frame(frame, at, &mut datagram);
    if parsed.is_udp() {
        Ok(datagram)
    } else {
        Err(parsed.unparsed())
    }
}

#[test]
fn a_datagram_is_found_behind_any_headers() {
    let all = [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS];
    for packet in [
        v4(),
        v4().tag(VLAN),
        v4().tag(QINQ).tag(VLAN),
        v4().options(1),
        v4().options(10).tag(VLAN),
        v4().trailer(12),
        v6(),
        v6().tag(QINQ).tag(QINQ),
        v6().extension(ROUTING, 255),
        all.into_iter()
            .fold(v6(), |packet, kind| packet.extension(kind, 3)),
        v6().trailer(1),
    ] {
        let frame = packet.frame();
        let found = read(&frame[..], 0).unwrap();
        assert_eq!(
            (found.payload, found.len),
            (packet.payload_at(), 33),
            "{packet:?}"
        );
        assert_eq!(
            (found.source_port, found.destination_port),
            (40000, 4433),
            "{packet:?}"
        );
        let (source, destination) = if found.v6 {
            (CLIENT6, SERVER6)
        } else {
            (CLIENT, SERVER)
        };
        let expected = (host(source), host(destination));
        assert_eq!((found.source, found.destination), expected, "{packet:?}");
    }
}

#[test]
fn the_mapped_form_is_that_of_rfc_4291() {
    let bytes: Vec<u8> = host(CLIENT)
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    assert_eq!(
        bytes,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]
    );
    assert!(!read(&v4().frame()[..], 0).unwrap().v6);
    assert!(read(&v6().frame()[..], 0).unwrap().v6);
}

#[test]
fn a_whole_header_cut_short_of_its_payload_is_malformed() {
    for packet in [
        v4(),
        v4().options(4),
        v6(),
        v6().extension(ROUTING, 1),
        v4().tag(VLAN),
    ] {
        let frame = packet.frame();
        for len in packet.payload_at() - 7..frame.len() {
            let found = read(&frame[..len], 0);
            assert_eq!(found, Err(Some(Unparsed::Malformed)), "{packet:?} at {len}");
        }
        for len in 0..packet.payload_at() - 7 {
            assert!(read(&frame[..len], 0).is_err(), "{packet:?} at {len}");
        }
    }
}

#[test]
fn udp_lengths_decide_how_much_is_payload() {
    let malformed = Err(Some(Unparsed::Malformed));
    for (length, found) in [
        (7, malformed),
        (8, Ok(0)),
        (40, Ok(32)),
        (41, Ok(33)),
        (42, malformed),
        (u16::MAX, malformed),
    ] {
        for packet in [v4(), v6()] {
            let frame = packet.udp_length(length).frame();
            assert_eq!(
                read(&frame[..], 0).map(|datagram| datagram.len),
                found,
                "{length}"
            );
        }
    }
    // To Linux none is all there is, over IPv6.
    for (packet, found) in [(v4(), malformed), (v6(), Ok(33))] {
        let frame = packet.udp_length(0).frame();
        assert_eq!(read(&frame[..], 0).map(|datagram| datagram.len), found);
    }
}

#[test]
fn an_offloaded_frame_is_as_long_as_it_is_whatever_its_header_says() {
    for length in [8, 18, 41, 2000] {
        let frame = v4().udp_length(length).frame();
        let train = Offloaded {
            bytes: &frame,
            segments: 4,
            segment_size: 10,
        };
        assert_eq!(read(&train, 0).unwrap().len, 33, "{length}");
    }
}

#[test]
fn a_tunnel_says_where_its_packet_begins() {
    let outer = || udp("10.0.0.1:1", "10.0.0.2:4789").options(2);
    let old = || udp("10.0.0.1:1", "10.0.0.2:8472");
    let modern = || udp("10.0.0.1:1", "10.0.0.2:6081").tag(VLAN);
    let within = v4().frame();
    for (packet, header) in [
        (vxlan(outer(), &within), 8),
        (vxlan(old(), &within), 8),
        (geneve(modern(), 0, ETHER_BRIDGING, &within), 8),
        (geneve(modern(), 7, ETHER_BRIDGING, &within), 36),
    ] {
        let mut datagram = Datagram::default();
        let frame = packet.frame();
        let parsed = parse::frame(&frame[..], 0, &mut datagram);
        assert!(
            parsed.is_udp() && parsed.has_inner() && parsed.inner_is_frame(),
            "{packet:?}"
        );
        assert_eq!(
            parsed.inner_at(),
            packet.payload_at() + header,
            "{packet:?}"
        );
        let inner = read(&frame[..], parsed.inner_at()).unwrap();
        assert_eq!((inner.source, inner.len), (host(CLIENT), 33), "{packet:?}");
    }
}

#[test]
fn an_ip_packet_in_an_ip_packet_is_found_in_all_four_ways() {
    let (outer4, outer6) = (
        udp("10.0.0.1:1", "10.0.0.2:1"),
        udp("[fd00::1]:1", "[fd00::2]:1"),
    );
    for outer in [outer4.options(5), outer6.extension(DESTINATION_OPTIONS, 0)] {
        for inner in [v4(), v6()] {
            let frame = ip_in_ip(&outer, &inner);
            let mut datagram = Datagram::default();
            let parsed = parse::frame(&frame[..], 0, &mut datagram);
            assert!(!parsed.is_udp() && parsed.has_inner() && !parsed.inner_is_frame());
            assert!(parse::packet(&frame[..], parsed.inner_at(), &mut datagram).is_udp());
            assert_eq!((datagram.payload, datagram.len), (frame.len() - 33, 33));
        }
    }
}

#[test]
fn a_tunnel_cut_anywhere_gives_no_datagram_beyond_the_frame() {
    let outer = udp("10.0.0.1:1", "10.0.0.2:6081");
    let frame = geneve(outer, 3, ETHER_BRIDGING, &v6().frame()).frame();
    for len in 0..frame.len() {
        let cut = &frame[..len];
        let mut datagram = Datagram::default();
        let parsed = parse::frame(cut, 0, &mut datagram);
        if parsed.has_inner() {
            assert!(read(cut, parsed.inner_at()).is_err(), "{len}");
        }
    }
}

#[test]
fn offsets_far_outside_are_nothing() {
    let frame = v4().frame();
    for at in [frame.len(), 1 << 16, u32::MAX as usize] {
        assert_eq!(read(&frame[..], at), Err(None));
        let parsed = parse::packet(&frame[..], at, &mut Datagram::default());
        assert!(!parsed.is_udp() && parsed.unparsed().is_none());
    }
}
