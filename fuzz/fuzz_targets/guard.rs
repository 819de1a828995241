//! Any bytes, under any policy, over any tables: nothing panics, nothing is
//! read outside the frame, and nothing is dropped without a reason to.
//!
//! An input is a scene ([`scene::HEAD`] bytes: policy, tables, clock), then a frame.
#![no_main]

#[path = "guard/flow.rs"]
mod flow;
#[path = "guard/node.rs"]
mod node;
#[path = "../../ebpf/abi/tests/packets/mod.rs"]
mod packets;
#[path = "guard/scene.rs"]
mod scene;
#[path = "guard/verdict.rs"]
mod verdict;

use libfuzzer_sys::fuzz_target;
use packets::Offloaded;
use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::parse::{self, Datagram, Parsed};
use stoq_ebpf_abi::quic::{self, Census, Header, Kind, MAX_PACKETS};

use scene::Scene;

fuzz_target!(|data: &[u8]| {
    let (scene, bytes) = Scene::read(data);
    let frame = scene.offloaded(bytes);
    let mut outer = Datagram::default();
    let found = parse::frame(&frame, 0, &mut outer);
    check(&scene, &frame, found, &outer);
    if found.has_inner() {
        let mut inner = Datagram::default();
        let parsed = if found.inner_is_frame() {
            parse::frame(&frame, found.inner_at(), &mut inner)
        } else {
            parse::packet(&frame, found.inner_at(), &mut inner)
        };
        check(&scene, &frame, parsed, &inner);
    }
    node::check(bytes, scene.now);
});

fn check(scene: &Scene, frame: &Offloaded<'_>, found: Parsed, datagram: &Datagram) {
    assert_eq!(Parsed::from_bits(found.to_bits()), found);
    if !found.is_udp() {
        return;
    }
    assert!(found.unparsed().is_none());
    within(frame, datagram);
    let first = scene.first_len(datagram.len);
    let header = quic::header(frame, datagram.payload, datagram.payload + first);
    check_header(&header, first);
    check_census(frame, datagram, &header);
    verdict::check(scene, datagram, header);
    flow::check(scene, frame, datagram);
}

/// The datagram lies in the frame, and its ports are where they are said to be.
fn within(frame: &Offloaded<'_>, datagram: &Datagram) {
    assert!(datagram.payload + datagram.len <= frame.len());
    let ports = [datagram.source_port, datagram.destination_port];
    let at = datagram.payload - 8;
    assert_eq!([at, at + 2].map(|at| frame.u16(at)), ports.map(Some));
}

fn check_header(header: &Header, len: usize) {
    assert_eq!(header.is_quic(), len != 0);
    if header.is_quic() {
        assert_eq!(Header::from_bits(header.to_bits()), *header);
    }
    // A long header shows its kind only with its version.
    assert!(!header.known_version() || len >= 5);
}

fn check_census(frame: &Offloaded<'_>, datagram: &Datagram, header: &Header) {
    let segment = frame.segment_size() as usize;
    let census = quic::census(frame, datagram.payload, datagram.len, segment);
    assert_eq!(Census::from_bits(census.to_bits()), census);
    let total: u64 = (0..8).map(|kind| census.count(kind)).sum();
    assert!(total <= u64::from(MAX_PACKETS));
    assert_eq!(total != 0, datagram.len != 0);
    let short = header.is(Kind::Short);
    assert!(!short || census.count(Kind::Short as u32) != 0);
}
