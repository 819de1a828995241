//! What an encapsulated datagram carries: VXLAN (RFC 7348), Geneve (RFC 8926).

use super::{Datagram, Parsed};
use crate::Bytes;

const VXLAN: u16 = 4789;
/// Linux's port from before the assignment, still flannel's and Cilium's.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const TRANS_ETHER_BRIDGING: u16 = 0x6558;

/// Where the inner headers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// An Ethernet header at this offset.
    Frame(usize),
    /// An IP header at this offset.
    Packet(usize),
}

/// The packet inside a tunnel's packet, if `outer` is one.
#[inline(always)]
pub fn inner<B: Bytes + ?Sized>(bytes: &B, outer: &Parsed) -> Option<Inner> {
    match outer {
        Parsed::IpInIp(at) => Some(Inner::Packet(*at)),
        Parsed::Udp(datagram) => encapsulated(bytes, datagram),
        _ => None,
    }
}

#[inline(always)]
fn encapsulated<B: Bytes + ?Sized>(bytes: &B, outer: &Datagram) -> Option<Inner> {
    let at = outer.payload;
    match outer.destination_port {
        VXLAN | VXLAN_LINUX => {
            // The I flag: a VNI is present. Without it the packet is no VXLAN.
            (bytes.u8(at)? & 0x08 != 0).then_some(Inner::Frame(at + 8))
        }
        GENEVE => {
            let first = bytes.u8(at)?;
            if first >> 6 != 0 || bytes.u16(at + 2)? != TRANS_ETHER_BRIDGING {
                return None;
            }
            Some(Inner::Frame(at + 8 + (first & 0x3f) as usize * 4))
        }
        _ => None,
    }
}
