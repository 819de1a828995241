//! The guard: each reason, the order of the checks, and what is asked and charged.

mod told;

use stoq_ebpf_abi::guard::{Packet, Reason};
use stoq_ebpf_abi::maps::{Policy, cidr_flag, mode, policy_flag};
use stoq_ebpf_abi::quic::{Header, Kind, V1, V2};

use told::{SPENT, Told, initial, long, short, spent, strict, strictly, verdict};

fn with(change: impl Fn(&mut Header)) -> Packet {
    let mut packet = initial();
    change(&mut packet.header);
    packet
}

#[test]
fn sanity_holds_what_no_correct_client_sends_and_no_more() {
    let handshake = |len| Packet {
        len,
        header: long(Kind::Handshake, V2),
        ..initial()
    };
    let other = |version| with(|header| (header.kind, header.version) = (6, version));
    let plain = Packet {
        len: 10,
        header: Header::NONE,
        ..initial()
    };
    for (packet, reason) in [
        (initial(), None),
        (
            Packet {
                len: 1199,
                ..initial()
            },
            Some(Reason::ShortInitial),
        ),
        (
            Packet {
                len: 1199,
                v6: true,
                ..initial()
            },
            Some(Reason::ShortInitial),
        ),
        (with(|header| header.version = V2), None),
        (with(|header| header.dcid_len = 7), Some(Reason::ShortDcid)),
        (with(|header| header.dcid_len = 20), None),
        (with(|header| header.dcid_len = 21), Some(Reason::LongCid)),
        (with(|header| header.scid_len = 0), None),
        (with(|header| header.scid_len = 21), Some(Reason::LongCid)),
        (handshake(40), None),
        (other(0x0a0a_0a0a), Some(Reason::UnknownVersion)),
        (other(0), Some(Reason::UnknownVersion)),
        (short(), None),
        (Packet { len: 1, ..short() }, None),
        (plain, None),
    ] {
        assert_eq!(strictly(&packet), reason, "{packet:?}");
    }
}

#[test]
fn without_its_flag_a_check_is_not_made() {
    use policy_flag::{ALLOW_LIST, REJECT_UNKNOWN_VERSIONS, VALIDATE_INITIAL};
    let tiny = Packet {
        len: 20,
        ..with(|header| header.dcid_len = 255)
    };
    let unknown = with(|header| (header.version, header.dcid_len) = (77, 255));
    for (flag, packet) in [
        (VALIDATE_INITIAL, tiny),
        (REJECT_UNKNOWN_VERSIONS, unknown),
        (ALLOW_LIST, initial()),
    ] {
        let mut policy = strict();
        assert!(
            verdict(&packet, &policy, &mut Told::default()).is_some(),
            "{packet:?}"
        );
        policy.flags &= !(flag | ALLOW_LIST);
        assert_eq!(
            verdict(&packet, &policy, &mut Told::default()),
            None,
            "{packet:?}"
        );
    }
}

#[test]
fn a_short_destination_id_is_fine_once_the_endpoint_has_answered() {
    let packet = with(|header| header.dcid_len = 4);
    for (answered, reason) in [(false, Some(Reason::ShortDcid)), (true, None)] {
        let mut tables = Told {
            cidr: cidr_flag::ALLOW,
            answered,
            ..Told::default()
        };
        assert_eq!(verdict(&packet, &strict(), &mut tables), reason);
    }
}

#[test]
fn the_first_failing_check_names_the_reason() {
    // Everything is wrong; each step repairs what was named.
    let mut packet = with(|header| (header.dcid_len, header.scid_len) = (0, 21));
    packet.len = 900;
    packet.header.version = 99;
    let mut tables = Told {
        cidr: cidr_flag::DENY,
        source: spent(SPENT, SPENT),
        unestablished: spent(SPENT, SPENT),
        ..Told::default()
    };
    let expect = |packet: &Packet, tables: &mut Told, reason| {
        tables.asked.clear();
        assert_eq!(verdict(packet, &strict(), tables), reason);
        let charged = tables
            .asked
            .iter()
            .filter(|call| call.starts_with("charge"))
            .count();
        assert_eq!(
            charged,
            if reason.is_some() { 0 } else { 2 },
            "{:?}",
            tables.asked
        );
    };
    expect(&packet, &mut tables, Some(Reason::Denied));
    tables.cidr = 0;
    expect(&packet, &mut tables, Some(Reason::NotAllowed));
    tables.cidr = cidr_flag::ALLOW;
    expect(&packet, &mut tables, Some(Reason::UnknownVersion));
    packet.header.version = V1;
    expect(&packet, &mut tables, Some(Reason::ShortInitial));
    packet.len = 1200;
    expect(&packet, &mut tables, Some(Reason::LongCid));
    packet.header.scid_len = 20;
    expect(&packet, &mut tables, Some(Reason::ShortDcid));
    packet.header.dcid_len = 8;
    expect(&packet, &mut tables, Some(Reason::SourceRate));
    tables.source.packets = 0;
    expect(&packet, &mut tables, Some(Reason::SourceInitialRate));
    tables.source.initials = 0;
    expect(&packet, &mut tables, Some(Reason::UnestablishedRate));
    tables.unestablished.packets = 0;
    expect(&packet, &mut tables, Some(Reason::UnestablishedInitialRate));
    tables.unestablished.initials = 0;
    expect(&packet, &mut tables, None);
}

#[test]
fn a_denied_source_is_denied_even_where_it_is_allowed_or_exempt() {
    let cidr = cidr_flag::DENY | cidr_flag::ALLOW | cidr_flag::EXEMPT;
    let mut tables = Told {
        cidr,
        ..Told::default()
    };
    assert_eq!(
        verdict(&initial(), &strict(), &mut tables),
        Some(Reason::Denied)
    );
}

#[test]
fn an_allow_list_of_one_family_shuts_the_other_out_unasked() {
    let mut policy = strict();
    policy.flags &= !policy_flag::CIDR_V6;
    let v6 = Packet {
        v6: true,
        ..initial()
    };
    let mut tables = Told {
        cidr: cidr_flag::ALLOW,
        ..Told::default()
    };
    assert_eq!(verdict(&v6, &policy, &mut tables), Some(Reason::NotAllowed));
    assert_eq!(tables.asked, ["masqueraded"]);
    assert_eq!(verdict(&initial(), &policy, &mut tables), None);
}

#[test]
fn an_exempt_source_pays_no_per_source_limit_but_the_shared_ones() {
    let cidr = cidr_flag::ALLOW | cidr_flag::EXEMPT;
    let mut tables = Told {
        cidr,
        source: spent(SPENT, SPENT),
        ..Told::default()
    };
    assert_eq!(verdict(&initial(), &strict(), &mut tables), None);
    assert_eq!(
        tables.asked,
        [
            "cidr",
            "established",
            "unestablished",
            "charge_unestablished"
        ]
    );
    tables.unestablished = spent(SPENT, 0);
    let reason = verdict(&initial(), &strict(), &mut tables);
    assert_eq!(reason, Some(Reason::UnestablishedRate));
}

#[test]
fn a_masqueraded_packet_is_spared_cidrs_and_sources_but_neither_sanity_nor_budgets() {
    let small = Packet {
        len: 1000,
        ..initial()
    };
    let budgets = ["established", "unestablished", "charge_unestablished"];
    for (cidr, source, asked) in [
        (cidr_flag::DENY, spent(0, 0), &["cidr", "masqueraded"][..]),
        (0, spent(0, 0), &["cidr", "masqueraded"]),
        (
            cidr_flag::ALLOW,
            spent(SPENT, 0),
            &["cidr", "source", "masqueraded"],
        ),
        (
            cidr_flag::ALLOW,
            spent(0, SPENT),
            &["cidr", "source", "masqueraded"],
        ),
    ] {
        let mut tables = Told {
            cidr,
            source,
            masqueraded: true,
            ..Told::default()
        };
        assert_eq!(verdict(&initial(), &strict(), &mut tables), None);
        // Not charged either.
        assert_eq!(tables.asked, [asked, &budgets].concat());
        let reason = verdict(&small, &strict(), &mut tables);
        assert_eq!(reason, Some(Reason::ShortInitial));
        tables.unestablished = spent(0, SPENT);
        let reason = verdict(&initial(), &strict(), &mut tables);
        assert_eq!(reason, Some(Reason::UnestablishedInitialRate));
    }
}

#[test]
fn others_of_a_node_s_prefix_do_not_pay_for_what_it_masqueraded() {
    for v6 in [false, true] {
        let mut policy = strict();
        (policy.source_v4, policy.source_v6) = (u32::MAX << 8, [u32::MAX, u32::MAX, 0, 0]);
        for masqueraded in [false, true] {
            let mut tables = Told {
                cidr: cidr_flag::ALLOW,
                masqueraded,
                ..Told::default()
            };
            let packet = Packet { v6, ..initial() };
            assert_eq!(verdict(&packet, &policy, &mut tables), None);
            let charged = tables.asked.contains(&"charge_source");
            assert_eq!(charged, !masqueraded, "{:?}", tables.asked);
        }
    }
}

#[test]
fn an_established_flow_never_pays_the_unestablished_budgets() {
    for packet in [
        short(),
        initial(),
        Packet {
            header: Header::NONE,
            ..short()
        },
    ] {
        let unestablished = spent(SPENT, SPENT);
        let cidr = cidr_flag::ALLOW;
        let mut tables = Told {
            answered: true,
            established: true,
            unestablished,
            cidr,
            ..Told::default()
        };
        assert_eq!(verdict(&packet, &strict(), &mut tables), None, "{packet:?}");
        assert_eq!(
            tables.asked,
            ["cidr", "source", "established", "charge_source"]
        );
    }
}

#[test]
fn only_initials_pay_for_initials() {
    let mut tables = Told {
        cidr: cidr_flag::ALLOW,
        source: spent(0, SPENT),
        unestablished: spent(0, SPENT),
        ..Told::default()
    };
    for header in [Header::short(true), Header::NONE, long(Kind::ZeroRtt, V1)] {
        let packet = Packet {
            header,
            ..initial()
        };
        assert_eq!(verdict(&packet, &strict(), &mut tables), None, "{packet:?}");
    }
    let reason = verdict(&initial(), &strict(), &mut tables);
    assert_eq!(reason, Some(Reason::SourceInitialRate));
}

#[test]
fn nothing_is_looked_up_that_the_policy_does_not_need() {
    let only = |change: fn(&mut Policy)| {
        let mut policy = Policy {
            mode: mode::ENFORCE,
            burst: 1,
            source_v4: u32::MAX,
            ..Policy::default()
        };
        change(&mut policy);
        policy
    };
    let cases: [(Policy, &[&str]); 5] = [
        (only(|_| {}), &[]),
        (only(|policy| policy.flags = policy_flag::CIDR_V6), &[]),
        (
            only(|policy| policy.flags = policy_flag::VALIDATE_INITIAL),
            &[],
        ),
        (
            only(|policy| policy.source_initial = 1),
            &["source", "charge_source"],
        ),
        (
            only(|policy| policy.unestablished_packet = 1),
            &["established", "unestablished", "charge_unestablished"],
        ),
    ];
    for (policy, asked) in cases {
        let mut tables = Told::default();
        assert_eq!(verdict(&initial(), &policy, &mut tables), None);
        assert_eq!(tables.asked, asked, "{policy:?}");
    }
}

#[test]
fn the_mode_is_the_caller_s_business() {
    let small = Packet {
        len: 9,
        ..initial()
    };
    for mode in [mode::OFF, mode::MONITOR, mode::ENFORCE] {
        let policy = Policy {
            mode,
            flags: policy_flag::VALIDATE_INITIAL,
            ..Policy::default()
        };
        let reason = verdict(&small, &policy, &mut Told::default());
        assert_eq!(reason, Some(Reason::ShortInitial));
    }
}

#[test]
fn a_verdict_names_its_reason() {
    use stoq_ebpf_abi::guard::Verdict;
    assert!(Verdict::PASS.passes() && Verdict::PASS.reason().is_none());
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        let verdict = Verdict::drop(reason);
        assert!(!verdict.passes());
        assert_eq!(
            (verdict.reason(), verdict.reason_index()),
            (Some(reason), index)
        );
        assert_eq!(reason as usize, index, "{}", reason.as_str());
    }
}
