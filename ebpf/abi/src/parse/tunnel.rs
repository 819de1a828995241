//! What an encapsulated datagram carries: VXLAN (RFC 7348), Geneve (RFC 8926).

use super::Parsed;
use crate::Bytes;

const VXLAN: u16 = 4789;
/// Linux's port from before the assignment, still flannel's and Cilium's.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const TRANS_ETHER_BRIDGING: u16 = 0x6558;

/// The frame inside the payload at `at` of a datagram to `port`, if it is a
/// tunnel's.
#[inline(always)]
pub(super) fn inner<B: Bytes + ?Sized>(bytes: &B, port: u16, at: usize) -> Parsed {
    let header = match port {
        VXLAN | VXLAN_LINUX => vxlan(bytes, at),
        GENEVE => geneve(bytes, at),
        _ => None,
    };
    match header {
        Some(len) => Parsed::inner(Parsed::FRAME, at + len),
        None => Parsed::OTHER,
    }
}

/// Length of the header. Without the I flag there is no VNI: no VXLAN.
#[inline(always)]
fn vxlan<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Option<usize> {
    (bytes.u8(at)? & 0x08 != 0).then_some(8)
}

#[inline(always)]
fn geneve<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Option<usize> {
    let first = bytes.u8(at)?;
    if first >> 6 != 0 || bytes.u16(at + 2)? != TRANS_ETHER_BRIDGING {
        return None;
    }
    Some(8 + (first & 0x3f) as usize * 4)
}
