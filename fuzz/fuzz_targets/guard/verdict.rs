//! The guard drops for a reason its policy gives, and charges what passes.

use stoq_ebpf_abi::guard::{Charge, MIN_INITIAL, Packet, Reason, Tables, guard};
use stoq_ebpf_abi::maps::{Buckets, Policy, cidr_flag, policy_flag};
use stoq_ebpf_abi::parse::Datagram;
use stoq_ebpf_abi::quic::{Header, Kind, MAX_CID};

use crate::scene::Scene;

/// Tables that note what they are asked.
struct Noting<'a> {
    scene: &'a Scene,
    cidr: u32,
    source: u32,
    masqueraded: u32,
    flow: u32,
    charged_source: Option<Charge>,
    charged_unestablished: Option<Charge>,
}

impl Tables for Noting<'_> {
    fn answered(&mut self) -> bool {
        self.flow += 1;
        self.scene.answered
    }

    fn established(&mut self) -> bool {
        self.flow += 1;
        self.scene.established
    }

    fn cidr(&mut self, _v6: bool) -> u32 {
        self.cidr += 1;
        self.scene.cidr
    }

    fn masqueraded(&mut self) -> bool {
        self.masqueraded += 1;
        self.scene.masqueraded
    }

    fn source(&mut self) -> Buckets {
        self.source += 1;
        self.scene.source
    }

    fn unestablished(&mut self) -> Buckets {
        assert!(
            !self.scene.established,
            "an established flow pays no shared budget"
        );
        self.scene.unestablished
    }

    fn charge_source(&mut self, charge: &Charge) {
        assert_eq!(self.source, 1, "charged unasked");
        assert!(
            self.charged_source.replace(*charge).is_none(),
            "charged twice"
        );
    }

    fn charge_unestablished(&mut self, charge: &Charge) {
        assert!(
            self.charged_unestablished.replace(*charge).is_none(),
            "charged twice"
        );
    }
}

pub(crate) fn check(scene: &Scene, datagram: &Datagram, header: Header) {
    let packet = Packet {
        len: scene.first_len(datagram.len),
        segments: scene.segments,
        v6: datagram.v6,
        header: if scene.quic { header } else { Header::NONE },
    };
    let mut tables = Noting {
        scene,
        cidr: 0,
        source: 0,
        masqueraded: 0,
        flow: 0,
        charged_source: None,
        charged_unestablished: None,
    };
    let reason = guard(&packet, &scene.policy, &mut tables, scene.now).reason();
    match reason {
        Some(reason) => assert!(justified(reason, &packet, scene), "{reason:?}: {packet:?}"),
        None => assert!(harmless(&packet, scene), "{packet:?}"),
    }
    let charged = [tables.charged_source, tables.charged_unestablished];
    assert!(
        reason.is_none() || charged == [None, None],
        "charged for what was dropped"
    );
    let policy = &scene.policy;
    check_charge(
        charged[0],
        &packet,
        [policy.source_packet, policy.source_initial],
    );
    let shared = [policy.unestablished_packet, policy.unestablished_initial];
    check_charge(charged[1], &packet, shared);
    assert!(tables.cidr <= 1 && tables.source <= 1 && tables.flow <= 2);
    assert!(tables.masqueraded <= 1, "asked twice");
}

fn check_charge(charge: Option<Charge>, packet: &Packet, [per_packet, per_initial]: [u64; 2]) {
    let Some(charge) = charge else {
        return;
    };
    assert!(per_packet + per_initial != 0, "charged without a limit");
    assert_eq!(charge.packets, per_packet * u64::from(packet.segments));
    assert_eq!(
        charge.initials,
        if packet.header.is(Kind::Initial) {
            per_initial * u64::from(packet.segments)
        } else {
            0
        }
    );
}

/// Whether the policy and the tables give this reason.
fn justified(reason: Reason, packet: &Packet, scene: &Scene) -> bool {
    let Policy { flags, .. } = scene.policy;
    let header = &packet.header;
    let initial = header.is(Kind::Initial);
    let validated = flags & policy_flag::VALIDATE_INITIAL != 0 && header.known_version();
    let known = !scene.masqueraded;
    match reason {
        Reason::Denied => known && scene.cidr & cidr_flag::DENY != 0,
        Reason::NotAllowed => known && flags & policy_flag::ALLOW_LIST != 0,
        Reason::ShortInitial => validated && initial && packet.len < MIN_INITIAL,
        Reason::ShortDcid => validated && initial && !scene.answered && header.dcid_len < 8,
        Reason::LongCid => validated && header.dcid_len.max(header.scid_len) > MAX_CID,
        Reason::UnknownVersion => {
            flags & policy_flag::REJECT_UNKNOWN_VERSIONS != 0
                && header.is_long()
                && !header.known_version()
        }
        Reason::SourceRate => known && scene.policy.source_packet != 0 && scene.source.packets != 0,
        Reason::SourceInitialRate => {
            known && initial && scene.policy.source_initial != 0 && scene.source.initials != 0
        }
        Reason::UnestablishedRate => {
            scene.policy.unestablished_packet != 0 && scene.unestablished.packets != 0
        }
        Reason::UnestablishedInitialRate => {
            initial && scene.policy.unestablished_initial != 0 && scene.unestablished.initials != 0
        }
    }
}

/// Whether nothing the policy forbids was let through, limits aside.
fn harmless(packet: &Packet, scene: &Scene) -> bool {
    let flags = scene.policy.flags;
    let family = if packet.v6 {
        policy_flag::CIDR_V6
    } else {
        policy_flag::CIDR_V4
    };
    let says = if flags & family == 0 { 0 } else { scene.cidr };
    let denied = says & cidr_flag::DENY != 0;
    let left_out = flags & policy_flag::ALLOW_LIST != 0 && says & cidr_flag::ALLOW == 0;
    let insane = [
        Reason::ShortInitial,
        Reason::ShortDcid,
        Reason::LongCid,
        Reason::UnknownVersion,
    ]
    .into_iter()
    .any(|reason| justified(reason, packet, scene));
    !insane && (scene.masqueraded || !(denied || left_out))
}
