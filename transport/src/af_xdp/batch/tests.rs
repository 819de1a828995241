use quinn::udp::EcnCodepoint;

use super::*;

const FRONT_END: &str = "192.0.2.80";
const POD: &str = "10.0.0.1";
const A: &str = "192.0.2.9:1000";
const B: &str = "192.0.2.9:1001";

/// A datagram of so many bytes from somebody.
type Sent = (&'static str, usize);

/// Bytes and stride of a buffer.
type Shown = (usize, usize);

struct Buffers {
    bytes: Vec<Vec<u8>>,
    metas: Vec<RecvMeta>,
}

impl Buffers {
    fn new(count: usize, size: usize) -> Self {
        Self {
            bytes: vec![vec![0; size]; count],
            metas: vec![RecvMeta::default(); count],
        }
    }

    /// Fills them with numbered datagrams; which found a place, and how many buffers are in use.
    fn fill(&mut self, datagrams: &[Datagram], mapped: bool) -> (Vec<bool>, usize) {
        let mut slices: Vec<_> = self
            .bytes
            .iter_mut()
            .map(|bytes| IoSliceMut::new(bytes))
            .collect();
        let mut batch = Batch::new(
            &mut slices,
            &mut self.metas,
            Some(POD.parse().unwrap()),
            mapped,
        );
        let placed = datagrams.iter().zip(1..).map(|(datagram, number)| {
            batch.push(datagram, |to| {
                to.fill(number);
                true
            })
        });
        (placed.collect(), batch.used())
    }
}

fn datagram(source: &str, len: usize) -> Datagram {
    Datagram {
        source: source.parse().unwrap(),
        destination: FRONT_END.parse().unwrap(),
        ecn: None,
        at: 42,
        len,
    }
}

fn datagrams(sent: &[Sent]) -> Vec<Datagram> {
    sent.iter()
        .map(|(source, len)| datagram(source, *len))
        .collect()
}

#[test]
fn what_belongs_together_shares_a_buffer() {
    let cases: &[(&[Sent], &[Shown])] = &[
        (&[], &[]),
        (&[(A, 10)], &[(10, 10)]),
        (&[(A, 10), (A, 10), (A, 10)], &[(30, 10)]),
        (&[(A, 10), (A, 10), (A, 3)], &[(23, 10)]),
        (&[(A, 10), (A, 3), (A, 10)], &[(13, 10), (10, 10)]),
        (&[(A, 10), (A, 3), (A, 3)], &[(13, 10), (3, 3)]),
        (&[(A, 3), (A, 10)], &[(3, 3), (10, 10)]),
        (
            &[(A, 10), (B, 10), (A, 10)],
            &[(10, 10), (10, 10), (10, 10)],
        ),
        // A buffer holds 100.
        (&[(A, 40), (A, 40), (A, 40)], &[(80, 40), (40, 40)]),
        (&[(A, 50), (A, 50), (A, 50)], &[(100, 50), (50, 50)]),
        (&[(A, 100), (A, 1)], &[(100, 100), (1, 1)]),
    ];
    for (sent, expected) in cases {
        let mut buffers = Buffers::new(4, 100);
        let (placed, used) = buffers.fill(&datagrams(sent), false);
        assert!(placed.iter().all(|placed| *placed), "{sent:?}");
        let shown = buffers.metas[..used]
            .iter()
            .map(|meta| (meta.len, meta.stride));
        assert_eq!(shown.collect::<Vec<_>>(), *expected, "{sent:?}");
    }
}

#[test]
fn every_byte_stands_where_its_datagram_is() {
    let sent = [(A, 10), (A, 10), (A, 3), (B, 7), (B, 7)];
    let mut buffers = Buffers::new(4, 100);
    assert_eq!(buffers.fill(&datagrams(&sent), false).1, 2);
    let first = [[1; 10].as_slice(), &[2; 10], &[3; 3], &[0; 77]].concat();
    assert_eq!(buffers.bytes[0], first);
    assert_eq!(buffers.bytes[1][..14], [[4; 7], [5; 7]].concat());
}

#[test]
fn other_congestion_marks_are_another_buffer() {
    let marked = Datagram {
        ecn: Some(EcnCodepoint::Ce),
        ..datagram(A, 10)
    };
    let mut buffers = Buffers::new(4, 100);
    let sent = [datagram(A, 10), marked, marked, datagram(A, 10)];
    assert_eq!(buffers.fill(&sent, false).1, 3);
    let shown = buffers.metas.iter().map(|meta| (meta.len, meta.ecn));
    let ce = Some(EcnCodepoint::Ce);
    assert_eq!(
        shown.take(3).collect::<Vec<_>>(),
        [(10, None), (20, ce), (10, None)]
    );
}

#[test]
fn addresses_are_shown_as_the_udp_socket_would() {
    for (source, mapped, shown) in [
        (A, false, A),
        (A, true, "[::ffff:192.0.2.9]:1000"),
        ("[2001:db8::9]:5", true, "[2001:db8::9]:5"),
    ] {
        let mut buffers = Buffers::new(1, 100);
        buffers.fill(&[datagram(source, 10)], mapped);
        assert_eq!(buffers.metas[0].addr, shown.parse().unwrap());
        assert_eq!(buffers.metas[0].dst_ip, Some(POD.parse().unwrap()));
    }
}

#[test]
fn what_fits_no_buffer_is_left_out_and_harms_nothing() {
    let mut buffers = Buffers::new(2, 100);
    let sent = [(A, 101), (A, 60), (A, 101), (A, 60), (A, 60)];
    let (placed, used) = buffers.fill(&datagrams(&sent), false);
    assert_eq!(placed, [false, true, false, true, false]);
    assert_eq!(used, 2);
    assert_eq!(buffers.metas[1].len, 60);
}

#[test]
fn what_can_not_be_copied_is_left_out() {
    let mut buffers = Buffers::new(2, 100);
    let mut slices: Vec<_> = buffers
        .bytes
        .iter_mut()
        .map(|bytes| IoSliceMut::new(bytes))
        .collect();
    let mut batch = Batch::new(
        &mut slices,
        &mut buffers.metas,
        Some(POD.parse().unwrap()),
        false,
    );
    for copied in [false, true, false] {
        assert_eq!(batch.push(&datagram(A, 10), |_| copied), copied);
    }
    assert_eq!((batch.used(), batch.left()), (1, 1));
    assert_eq!(buffers.metas[0].len, 10);
}
