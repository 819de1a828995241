//! The table of sources: who is found where, and who makes room.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use stoq_ebpf_abi::maps::{Buckets, Hook, TRANSPORTS};
use stoq_ebpf_abi::parse::{Addr, mapped};
use stoq_ebpf_abi::source::{SOURCE_SETS, Source, SourceKey, SourceSet, owed, paid_at};

const SEED: u64 = 0x0123_4567_89ab_cdef;
const BUDGETS: u32 = TRANSPORTS * Hook::COUNT as u32;

fn v4(number: u32) -> Addr {
    mapped(u32::from_ne_bytes(Ipv4Addr::from_bits(number).octets()))
}

/// The `number`th /64 of 2001:db8::/32.
fn v6(number: u32) -> Addr {
    [0x2001_0db8_u32.to_be(), number.to_be(), 0, 0]
}

fn owing(addr: Addr, packets: u64, initials: u64) -> Source {
    let buckets = Buckets { packets, initials };
    Source { addr, buckets }
}

#[test]
fn a_source_has_a_set_of_its_own_for_every_budget() {
    for addr in [v4(0xc000_0209), v6(7), Addr::default()] {
        let sets = (0..BUDGETS).map(|budget| SourceKey { budget, addr }.set(SEED));
        let sets: HashSet<u32> = sets.inspect(|set| assert!(*set < SOURCE_SETS)).collect();
        assert_eq!(sets.len(), BUDGETS as usize);
    }
}

#[test]
fn neighbours_spread_over_the_sets() {
    let kinds: [fn(u32) -> Addr; 4] = [
        v4,
        |n| v4(n << 8),
        v6,
        |n| [0x2001_0db8_u32.to_be(), 0, 0, n.to_be()],
    ];
    for (kind, addr) in kinds.into_iter().enumerate() {
        let mut load = vec![0; SOURCE_SETS as usize];
        for number in 0..SOURCE_SETS {
            let key = SourceKey {
                budget: 5,
                addr: addr(number),
            };
            load[key.set(SEED) as usize] += 1;
        }
        let overfull: u32 = load.iter().map(|n: &u32| n.saturating_sub(2)).sum();
        // Chance alone would leave a tenth without a place.
        assert!(overfull < SOURCE_SETS / 8, "{kind}: {overfull}");
    }
}

#[test]
fn a_source_keeps_its_place_and_a_new_one_takes_that_of_who_owes_less() {
    let (a, b, c) = (v4(1), v4(2), v4(3));
    let nobody = Source::default();
    for (what, ways, comes, second) in [
        ("empty", [nobody, nobody], a, false),
        ("known, first", [owing(a, 1, 0), owing(b, 9, 9)], a, false),
        ("known, second", [owing(a, 9, 9), owing(b, 1, 0)], b, true),
        ("first is free", [nobody, owing(b, 1, 0)], c, false),
        ("second is free", [owing(a, 1, 0), nobody], c, true),
        (
            "first owes less",
            [owing(a, 1, 4), owing(b, 5, 0)],
            c,
            false,
        ),
        (
            "second owes less",
            [owing(a, 5, 0), owing(b, 4, 4)],
            c,
            true,
        ),
        ("known beats free", [nobody, owing(b, 1, 0)], b, true),
    ] {
        assert_eq!(SourceSet { ways }.second(&comes), second, "{what}");
    }
}

#[test]
fn another_s_debt_is_not_ours() {
    let source = owing(v4(1), 5, 6);
    assert_eq!(source.owes(&v4(1)), source.buckets);
    for other in [v4(2), v6(1), [1, 0, source.addr[2], source.addr[3]]] {
        assert_eq!(source.owes(&other), Buckets::default());
    }
}

#[test]
fn a_set_owes_until_its_latest_bucket_is_full_and_not_much_longer() {
    const MILLISECOND: u64 = 16_000_000;
    for now in [
        0,
        1,
        1 << 26,
        1 << 40,
        (1 << 58) - 1,
        1 << 58,
        u64::MAX >> 8,
    ] {
        for debt in [0, 1, MILLISECOND, 10_000 * MILLISECOND] {
            let until = paid_at(now + debt);
            assert!(owed(until, now), "{now} {debt}");
            assert!(owed(until, now + debt), "{now} {debt}");
            assert!(!owed(until, now + debt + 9 * MILLISECOND), "{now} {debt}");
        }
        assert!(!owed(0, now), "{now}");
    }
}
