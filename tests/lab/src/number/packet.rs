//! What is in a numbered packet.

use rustix::io::Errno;

/// Bytes that carry the kind and the number; the rest of a payload is padding.
pub(super) const LENGTH: usize = 16;
const DATA: u64 = u64::from_be_bytes(*b"stoq-num");
const END: u64 = u64::from_be_bytes(*b"stoq-end");

/// One packet of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    /// The packet of this number, from 0.
    Data(u64),
    /// No more will come; this many were sent.
    End(u64),
}

impl Packet {
    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        let (kind, number) = match self {
            Self::Data(number) => (DATA, number),
            Self::End(sent) => (END, sent),
        };
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&kind.to_be_bytes());
        bytes[8..16].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    /// None for what is no numbered packet.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        match word(0)? {
            DATA => Some(Self::Data(word(8)?)),
            END => Some(Self::End(word(8)?)),
            _ => None,
        }
    }
}

/// Whether the kernel's answer to a send or receive says nothing about this socket's own packets.
pub(super) fn is_passing(error: &std::io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    [
        Errno::AGAIN,
        Errno::INTR,
        Errno::CONNREFUSED,
        Errno::HOSTUNREACH,
    ]
    .map(Some)
    .contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_survives_the_way_through_bytes() {
        for packet in [Packet::Data(0), Packet::Data(u64::MAX), Packet::End(7)] {
            assert_eq!(Packet::parse(&packet.to_bytes()), Some(packet));
        }
    }

    #[test]
    fn foreign_bytes_are_no_packet() {
        assert_eq!(Packet::parse(b"stoq-num"), None);
        assert_eq!(Packet::parse(&[0; LENGTH]), None);
    }
}
