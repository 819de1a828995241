//! QUIC headers, and the census of a datagram's packets.

mod packets;

use packets::Offloaded;
use packets::quic::{coalesced, initial, long, padded, short};
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::quic::{self, Header, Kind, MAX_PACKETS, V1, V2, client_id};

fn header(datagram: &[u8]) -> Header {
    quic::header(datagram, 0, datagram.len())
}

/// How many packets of which kind, those of no packet left out.
fn census<B: Bytes + ?Sized>(bytes: &B) -> Vec<(Kind, u64)> {
    let census = quic::census(bytes, 0, bytes.len(), bytes.segment_size() as usize);
    let counts = Kind::ALL.map(|kind| (kind, census.count(kind as u32)));
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect()
}

#[test]
fn every_kind_is_told_in_both_versions() {
    for version in [V1, V2] {
        for kind in [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry] {
            for packet in [long(kind), long(kind).greased()] {
                let read = header(&packet.version(version).bytes());
                assert!(
                    read.is(kind) && read.is_long() && read.known_version(),
                    "{read:?}"
                );
                assert_eq!(
                    (read.version, read.dcid_len, read.scid_len),
                    (version, 8, 8)
                );
            }
        }
    }
}

#[test]
fn versions_nobody_knows_have_no_kind_but_their_ids_are_read() {
    for (version, kind) in [
        (0, Kind::VersionNegotiation),
        (2, Kind::Other),
        (0x0a0a_0a0a, Kind::Other),
        (0xff00_001d, Kind::Other),
        (u32::MAX, Kind::Other),
    ] {
        let read = header(&initial().version(version).dcid(255).scid(3).bytes());
        assert!(
            read.is(kind) && read.is_long() && !read.known_version(),
            "{version:x}: {read:?}"
        );
        assert_eq!(
            (read.version, read.dcid_len, read.scid_len),
            (version, 255, 3)
        );
    }
}

#[test]
fn a_short_header_is_told_by_the_form_bit_alone() {
    for first in 0..=0xff {
        let read = header(&[first, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(read.is(Kind::Short), first & 0x80 == 0, "{first:x}");
        assert_eq!(
            read.is(Kind::Short) && read.spin,
            first & 0xa0 == 0x20,
            "{first:x}"
        );
    }
}

#[test]
fn ids_of_any_length_are_measured() {
    for len in 0..=255 {
        let (dcid, scid) = (initial().dcid(len), initial().dcid(20).scid(len));
        assert_eq!(usize::from(header(&dcid.bytes()).dcid_len), len);
        assert_eq!(usize::from(header(&scid.bytes()).scid_len), len);
    }
}

#[test]
fn a_header_crosses_a_word_unchanged() {
    for datagram in [
        initial().v2().dcid(255).scid(254).bytes(),
        short(true, 9),
        short(false, 9),
        vec![0xff],
        vec![],
    ] {
        let read = header(&datagram);
        assert_eq!(Header::from_bits(read.to_bits()), read);
    }
}

#[test]
fn a_header_cut_anywhere_is_read_as_far_as_it_goes() {
    let whole = initial().dcid(12).scid(5).bytes();
    for len in 0..whole.len() {
        let read = header(&whole[..len]);
        let expected = match len {
            0 => (false, 0, 0),
            1..=5 => (true, 0, 0),
            6..=18 => (true, 12, 0),
            _ => (true, 12, 5),
        };
        assert_eq!(
            (read.is_long(), read.dcid_len, read.scid_len),
            expected,
            "at {len}"
        );
        assert_eq!(read.is(Kind::Initial), len >= 5, "at {len}");
    }
}

#[test]
fn nothing_behind_the_datagram_is_read() {
    // A segment's header ends with the segment, though the frame goes on.
    let train = coalesced([initial().bytes(), initial().bytes()]);
    assert_eq!(quic::header(&train[..], 0, 5).dcid_len, 0);
    assert_eq!(quic::header(&train[..], 0, 10).scid_len, 0);
    assert!(!quic::header(&train[..], 9, 9).is_quic());
}

#[test]
fn the_client_s_id_is_the_source_inward_and_the_destination_outward() {
    let fingerprint = |packet: &[u8], inbound| client_id(packet, 0, &header(packet), inbound);
    for len in [1, 3, 4, 8, 20] {
        let id: Vec<u8> = (0..len).map(|i| 0x11 + i).collect();
        let from = initial().dcid(11).scid_of(&id).bytes();
        let to = long(Kind::Handshake).dcid_of(&id).scid(13).bytes();
        assert_eq!(fingerprint(&from, true), fingerprint(&to, false), "{len}");
        assert_ne!(fingerprint(&from, true), 0, "{len}");
        assert_ne!(fingerprint(&from, true), fingerprint(&from, false), "{len}");
    }
    assert_eq!(fingerprint(&initial().scid(0).bytes(), true), 0);
    assert_eq!(fingerprint(&initial().dcid(0).bytes(), false), 0);
    // Zeroes are an id like any other.
    assert_ne!(fingerprint(&initial().scid_of(&[0; 8]).bytes(), true), 0);
}

#[test]
fn coalesced_packets_are_counted_each() {
    use Kind::{Handshake, Initial, Other, Retry, Short, VersionNegotiation, ZeroRtt};
    let (hello, early) = (initial().bytes(), long(ZeroRtt).bytes());
    let (crypto, data) = (long(Handshake).bytes(), short(false, 40));
    for (datagram, expected) in [
        (vec![], vec![]),
        (hello.clone(), vec![(Initial, 1)]),
        (padded(hello.clone(), 1200), vec![(Initial, 1)]),
        (initial().filling(1200), vec![(Initial, 1)]),
        (initial().token(16_400).bytes(), vec![(Initial, 1)]),
        (
            coalesced([hello.clone(), early.clone()]),
            vec![(Initial, 1), (ZeroRtt, 1)],
        ),
        (
            padded(
                coalesced([initial().v2().token(64).bytes(), long(ZeroRtt).v2().bytes()]),
                1200,
            ),
            vec![(Initial, 1), (ZeroRtt, 1)],
        ),
        (
            coalesced([hello.clone(), crypto.clone(), data.clone()]),
            vec![(Initial, 1), (Handshake, 1), (Short, 1)],
        ),
        (
            coalesced([crypto.clone(), crypto.clone(), crypto]),
            vec![(Handshake, 3)],
        ),
        // These have no length: they fill their datagram.
        (coalesced([data.clone(), hello.clone()]), vec![(Short, 1)]),
        (
            coalesced([long(Retry).bytes(), hello.clone()]),
            vec![(Retry, 1)],
        ),
        (
            coalesced([initial().version(0).bytes(), hello.clone()]),
            vec![(VersionNegotiation, 1)],
        ),
        (
            coalesced([initial().version(9).bytes(), data]),
            vec![(Other, 1)],
        ),
        (
            coalesced([hello, early, vec![0x40]]),
            vec![(Initial, 1), (ZeroRtt, 1), (Short, 1)],
        ),
    ] {
        assert_eq!(census(&datagram[..]), expected, "{datagram:02x?}");
    }
}

#[test]
fn every_segment_of_a_train_is_counted() {
    let segment = |packet: Vec<u8>| padded(packet, 300);
    let pair = coalesced([initial().bytes(), long(Kind::Handshake).bytes()]);
    let train = coalesced([
        segment(pair),
        segment(long(Kind::Handshake).bytes()),
        short(true, 70),
    ]);
    let offloaded = Offloaded {
        bytes: &train,
        segments: 3,
        segment_size: 300,
    };
    let expected = [(Kind::Initial, 1), (Kind::Handshake, 2), (Kind::Short, 1)];
    assert_eq!(census(&offloaded), expected);
}

#[test]
fn a_length_that_lies_does_not_lead_out_of_its_segment() {
    let mut lying = initial().bytes();
    let length_at = 7 + 8 + 8 + 1;
    lying[length_at..length_at + 2].copy_from_slice(&[0x7f, 0xff]);
    let train = coalesced([padded(lying, 300), short(false, 300)]);
    let offloaded = Offloaded {
        bytes: &train,
        segments: 2,
        segment_size: 300,
    };
    assert_eq!(census(&offloaded), [(Kind::Initial, 1), (Kind::Short, 1)]);
}

#[test]
fn a_census_ends_after_sixteen_packets() {
    let tiny = long(Kind::Handshake).dcid(0).scid(0).body(1).bytes();
    let many = tiny.repeat(40);
    assert_eq!(
        census(&many[..]),
        [(Kind::Handshake, u64::from(MAX_PACKETS))]
    );
}

#[test]
fn a_datagram_cut_anywhere_still_holds_packets() {
    let whole = coalesced([initial().token(5).bytes(), long(Kind::Handshake).bytes()]);
    for len in 1..whole.len() {
        let counts = census(&whole[..len]);
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        assert!((1..=2).contains(&total), "{counts:?} at {len}");
    }
}
