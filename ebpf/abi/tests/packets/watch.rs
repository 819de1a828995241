//! A packet as a flow sees it: what the kernel's programs make of it.

use stoq_ebpf_abi::Bytes;
use stoq_ebpf_abi::flow::{Direction, Seen};
use stoq_ebpf_abi::quic::{self, Census};

/// The QUIC datagram of `len` bytes at `at` of the frame.
pub(crate) fn seen<B: Bytes + ?Sized>(
    frame: &B,
    (at, len): (usize, usize),
    direction: Direction,
    now: u64,
) -> Seen {
    let segment = frame.segment_size() as usize;
    let first = if segment == 0 { len } else { len.min(segment) };
    let header = quic::header(frame, at, at + first);
    let inbound = matches!(direction, Direction::In);
    let server_id = quic::server_id(frame, at, &header, inbound);
    let (census, client_id) = if header.is_long() {
        let census = quic::census(frame, at, len, segment);
        (census, quic::client_id(frame, at, &header, inbound))
    } else if header.is_quic() {
        (Census::short(frame.datagrams(len)), 0)
    } else {
        (Census::default(), 0)
    };
    Seen {
        direction,
        now,
        quic: true,
        header,
        client_id,
        server_id,
        len: first as u32,
        census,
    }
}
