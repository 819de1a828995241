//! Ethernet, IPv4 and UDP around a payload.

use std::net::SocketAddrV4;

use crate::mac::Mac;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
/// Locally administered; nothing answers to it.
const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0xf1, 0x00];

/// Where a flood goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The Ethernet address of the node's uplink.
    pub mac: Mac,
    /// The endpoint or front end.
    pub address: SocketAddrV4,
}

impl Target {
    /// A whole frame from 0.0.0.0 port 0, for `lab_flood` to complete. Without a UDP checksum,
    /// which IPv4 allows.
    pub(super) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let udp_length = (UDP + payload.len()) as u16;
        let mut frame = Vec::with_capacity(ETHERNET + IPV4 + UDP + payload.len());
        frame.extend(self.mac.0);
        frame.extend(SENDER);
        frame.extend(0x0800_u16.to_be_bytes());
        frame.extend(self.ipv4(udp_length));
        frame.extend([0, 0]);
        frame.extend(self.address.port().to_be_bytes());
        frame.extend(udp_length.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    fn ipv4(&self, udp_length: u16) -> [u8; IPV4] {
        let mut header = [0; IPV4];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&(IPV4 as u16 + udp_length).to_be_bytes());
        header[6] = 0x40; // Do not fragment.
        header[8] = 64;
        header[9] = 17;
        header[16..].copy_from_slice(&self.address.ip().octets());
        let checksum = checksum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

/// The Internet checksum of a header whose own checksum field is 0.
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_the_wire_expects() {
        let target = Target {
            mac: Mac([2, 0, 0, 0, 0, 9]),
            address: "10.0.0.1:4433".parse().unwrap(),
        };
        let frame = target.frame(b"hello");
        assert_eq!(frame.len(), 47);
        assert_eq!(frame[..6], target.mac.0);
        assert_eq!(frame[14..18], [0x45, 0, 0, 33]);
        assert_eq!(frame[36..38], 4433_u16.to_be_bytes());
        assert_eq!(&frame[42..], b"hello");
    }

    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        let target = Target {
            mac: Mac([0; 6]),
            address: "192.0.2.9:1".parse().unwrap(),
        };
        assert_eq!(checksum(&target.ipv4(1208)), 0);
    }
}
