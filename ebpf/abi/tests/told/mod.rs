//! Tables that answer as they are told, and packets and policies to ask about.

use stoq_ebpf_abi::guard::{Charge, Packet, Reason, Tables, guard};
use stoq_ebpf_abi::maps::{Buckets, Policy, cidr_flag, mode, policy_flag};
use stoq_ebpf_abi::quic::{Header, Kind, V1};

pub(crate) const NOW: u64 = 5_000_000_000;
/// A bucket that holds nothing now.
pub(crate) const SPENT: u64 = (NOW << 4) + (1 << 60);

/// Tables that answer as told and note what they are asked.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) answered: bool,
    pub(crate) established: bool,
    pub(crate) cidr: u32,
    pub(crate) masqueraded: bool,
    pub(crate) source: Buckets,
    pub(crate) unestablished: Buckets,
    pub(crate) asked: Vec<&'static str>,
}

impl Tables for Told {
    fn answered(&mut self) -> bool {
        self.asked.push("answered");
        self.answered
    }

    fn established(&mut self) -> bool {
        self.asked.push("established");
        self.established
    }

    fn cidr(&mut self, _v6: bool) -> u32 {
        self.asked.push("cidr");
        self.cidr
    }

    fn masqueraded(&mut self) -> bool {
        self.asked.push("masqueraded");
        self.masqueraded
    }

    fn source(&mut self) -> Buckets {
        self.asked.push("source");
        self.source
    }

    fn unestablished(&mut self) -> Buckets {
        self.asked.push("unestablished");
        self.unestablished
    }

    fn charge_source(&mut self, _: &Charge) {
        self.asked.push("charge_source");
    }

    fn charge_unestablished(&mut self, _: &Charge) {
        self.asked.push("charge_unestablished");
    }
}

pub(crate) fn long(kind: Kind, version: u32) -> Header {
    Header {
        kind: kind as u32,
        version,
        dcid_len: 8,
        scid_len: 8,
        spin: false,
    }
}

pub(crate) fn initial() -> Packet {
    Packet {
        len: 1200,
        segments: 1,
        v6: false,
        header: long(Kind::Initial, V1),
    }
}

pub(crate) fn short() -> Packet {
    Packet {
        len: 100,
        header: Header::short(false),
        ..initial()
    }
}

/// Every check there is, no bucket spent.
pub(crate) fn strict() -> Policy {
    use policy_flag::{ALLOW_LIST, CIDR_V4, CIDR_V6, REJECT_UNKNOWN_VERSIONS, VALIDATE_INITIAL};
    Policy {
        mode: mode::ENFORCE,
        flags: VALIDATE_INITIAL | REJECT_UNKNOWN_VERSIONS | CIDR_V4 | CIDR_V6 | ALLOW_LIST,
        source_packet: 16,
        source_initial: 16,
        unestablished_packet: 16,
        unestablished_initial: 16,
        burst: 1 << 30,
        source_v4: u32::MAX,
        source_v6: [u32::MAX; 4],
        ..Policy::default()
    }
}

pub(crate) fn spent(packets: u64, initials: u64) -> Buckets {
    Buckets { packets, initials }
}

pub(crate) fn verdict(packet: &Packet, policy: &Policy, tables: &mut Told) -> Option<Reason> {
    guard(packet, policy, tables, NOW).reason()
}

/// What [`strict`] says with the source allowed.
pub(crate) fn strictly(packet: &Packet) -> Option<Reason> {
    let mut tables = Told {
        cidr: cidr_flag::ALLOW,
        ..Told::default()
    };
    verdict(packet, &strict(), &mut tables)
}
