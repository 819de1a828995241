//! IPv4 (RFC 791), IPv6 (RFC 8200) and UDP (RFC 768) headers.

use super::{Datagram, Parsed, Unparsed, mapped, tunnel};
use crate::Bytes;

const UDP: u8 = 17;
const IPIP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Extension headers followed before a packet is left to the kernel.
const MAX_EXTENSIONS: u32 = 6;

const UDP_HEADER: usize = 8;

#[inline(always)]
pub(super) fn v4<B: Bytes + ?Sized>(bytes: &B, at: usize, out: &mut Datagram) -> Parsed {
    // One after the other, here and below: of several at once LLVM makes uses of registers that
    // are not set on every way, which the verifier refuses.
    let Some(first) = bytes.u8(at) else {
        return Parsed::OTHER;
    };
    let Some(fragment) = bytes.u16(at + 6) else {
        return Parsed::OTHER;
    };
    let Some(protocol) = bytes.u8(at + 9) else {
        return Parsed::OTHER;
    };
    let header = ((first & 0x0f) as usize) * 4;
    if first >> 4 != 4 || header < 20 {
        return Parsed::unparsed_because(Unparsed::Malformed);
    }
    match protocol {
        UDP if fragment & 0x3fff != 0 => Parsed::unparsed_because(Unparsed::Fragment),
        UDP => {
            let Some(source) = bytes.word(at + 12) else {
                return Parsed::unparsed_because(Unparsed::Malformed);
            };
            let Some(destination) = bytes.word(at + 16) else {
                return Parsed::unparsed_because(Unparsed::Malformed);
            };
            (out.source, out.destination) = (mapped(source), mapped(destination));
            out.v6 = false;
            udp(bytes, at + header, 0, out)
        }
        IPIP | IPV6_IN_IP if fragment & 0x3fff == 0 => Parsed::inner(Parsed::PACKET, at + header),
        _ => Parsed::OTHER,
    }
}

#[inline(always)]
pub(super) fn v6<B: Bytes + ?Sized>(bytes: &B, at: usize, out: &mut Datagram) -> Parsed {
    let Some(mut next) = bytes.u8(at + 6) else {
        return Parsed::OTHER;
    };
    let Some(source) = address(bytes, at + 8) else {
        return Parsed::OTHER;
    };
    let Some(destination) = address(bytes, at + 24) else {
        return Parsed::OTHER;
    };
    let Some(length) = bytes.u16(at + 4) else {
        return Parsed::OTHER;
    };
    let mut at = at + 40;
    // A jumbogram's own length is 0 (RFC 2675, 2).
    let end = if length == 0 {
        bytes.len()
    } else {
        at + length as usize
    };
    for _ in 0..=MAX_EXTENSIONS {
        match next {
            UDP => {
                (out.source, out.destination, out.v6) = (source, destination, true);
                return udp(bytes, at, end, out);
            }
            FRAGMENT => return Parsed::unparsed_because(Unparsed::Fragment),
            IPIP | IPV6_IN_IP => return Parsed::inner(Parsed::PACKET, at),
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let Some(following) = bytes.u8(at) else {
                    return Parsed::unparsed_because(Unparsed::Malformed);
                };
                let Some(length) = bytes.u8(at + 1) else {
                    return Parsed::unparsed_because(Unparsed::Malformed);
                };
                next = following;
                at += (length as usize + 1) * 8;
            }
            _ => return Parsed::OTHER,
        }
    }
    Parsed::unparsed_because(Unparsed::TooDeep)
}

#[inline(always)]
fn address<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Option<super::Addr> {
    Some([
        bytes.word(at)?,
        bytes.word(at + 4)?,
        bytes.word(at + 8)?,
        bytes.word(at + 12)?,
    ])
}

/// `end`: of the IPv6 packet; 0 for IPv4.
#[inline(always)]
fn udp<B: Bytes + ?Sized>(bytes: &B, at: usize, end: usize, out: &mut Datagram) -> Parsed {
    let Some(ports) = bytes.u32(at) else {
        return Parsed::unparsed_because(Unparsed::Malformed);
    };
    let Some(length) = bytes.u16(at + 4) else {
        return Parsed::unparsed_because(Unparsed::Malformed);
    };
    let payload = at + UDP_HEADER;
    if payload > bytes.len() {
        return Parsed::unparsed_because(Unparsed::Malformed);
    }
    let room = bytes.len() - payload;
    // Over IPv6 none stands for the rest of the packet: so jumbograms have it (RFC 2675, 4), and
    // so Linux takes it of any (`__udp6_lib_rcv`, net/ipv6/udp.c, v6.18).
    let length = if length == 0 && end > at {
        end - at
    } else {
        length as usize
    };
    // The header of an offloaded frame speaks of one segment or of all,
    // depending on who built it; the frame's own length is always the sum.
    let len = if bytes.segment_size() != 0 {
        room
    } else {
        length.wrapping_sub(UDP_HEADER)
    };
    if length < UDP_HEADER || len > room {
        return Parsed::unparsed_because(Unparsed::Malformed);
    }
    let destination_port = ports as u16;
    out.source_port = (ports >> 16) as u16;
    out.destination_port = destination_port;
    out.payload = payload;
    out.len = len;
    Parsed(Parsed::UDP).and(tunnel::inner(bytes, destination_port, payload))
}
