//! Everything but the frame.

use stoq_ebpf_abi::maps::{Buckets, Policy, mode};

use crate::packets::Offloaded;

/// Bytes of an input that make the scene.
pub(crate) const HEAD: usize = 32;

/// Policy, tables and clock.
pub(crate) struct Scene {
    pub(crate) policy: Policy,
    pub(crate) answered: bool,
    pub(crate) established: bool,
    pub(crate) cidr: u32,
    pub(crate) source: Buckets,
    pub(crate) unestablished: Buckets,
    pub(crate) quic: bool,
    pub(crate) masqueraded: bool,
    pub(crate) segments: u32,
    pub(crate) segment_size: u32,
    /// Which way each packet of the flow goes: a bit each.
    pub(crate) directions: u8,
    /// Coarse clock, ns.
    pub(crate) now: u64,
}

impl Scene {
    /// Splits an input; what is missing of a scene is zero.
    pub(crate) fn read(data: &[u8]) -> (Self, &[u8]) {
        let (head, frame) = data.split_at(data.len().min(HEAD));
        let mut bytes = [0; HEAD];
        bytes[..head.len()].copy_from_slice(head);
        (Self::new(&bytes), frame)
    }

    fn new(head: &[u8; HEAD]) -> Self {
        let bit = |at: u8| head[0] >> at & 1 != 0;
        let now = u64::from_le_bytes([
            head[16],
            head[17],
            head[18],
            head[19],
            head[20],
            head[21],
            head[22],
            head[23] >> 6,
        ]);
        let segment_size = u32::from(u16::from_le_bytes([head[4], head[5]]));
        Self {
            policy: policy(head),
            answered: bit(0),
            established: bit(1),
            cidr: head[2].into(),
            source: buckets(now, head[11], head[12]),
            unestablished: buckets(now, head[13], head[14]),
            quic: bit(2),
            masqueraded: bit(3),
            segments: if segment_size == 0 {
                1
            } else {
                1 + u32::from(head[3] & 127)
            },
            segment_size,
            directions: head[15],
            now,
        }
    }

    pub(crate) fn offloaded<'a>(&self, bytes: &'a [u8]) -> Offloaded<'a> {
        Offloaded {
            bytes,
            segments: self.segments,
            segment_size: self.segment_size,
        }
    }

    /// Length of the first segment of so many bytes.
    pub(crate) fn first_len(&self, len: usize) -> usize {
        match self.segment_size {
            0 => len,
            segment => len.min(segment as usize),
        }
    }
}

fn policy(head: &[u8; HEAD]) -> Policy {
    Policy {
        mode: mode::ENFORCE,
        flags: head[1].into(),
        source_packet: cost(head[6]),
        source_initial: cost(head[7]),
        unestablished_packet: cost(head[8]),
        unestablished_initial: cost(head[9]),
        burst: 1_600_000_000 << (head[10] % 7),
        source_v4: u32::from(head[0] >> 4 & 1).wrapping_neg(),
        ..Policy::default()
    }
}

/// None, or that of a rate between one a second and a thousand million.
fn cost(byte: u8) -> u64 {
    if byte == 0 {
        0
    } else {
        16_000_000_000 >> (byte % 31)
    }
}

/// Full, or in debt by up to a few minutes.
fn buckets(now: u64, packets: u8, initials: u8) -> Buckets {
    let debt = |byte: u8| {
        if byte == 0 {
            0
        } else {
            (now << 4) + (1 << (byte % 42))
        }
    };
    Buckets {
        packets: debt(packets),
        initials: debt(initials),
    }
}
