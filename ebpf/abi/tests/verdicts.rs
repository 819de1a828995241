//! The packet table, judged on the host.

mod packets;

use std::collections::HashSet;

use packets::node::{Fate, Node};
use packets::table::{self, Case, node, table, variants};

const NOW: u64 = 1_000_000_000;

fn fates(node: &Node, case: &Case) -> [Fate; 2] {
    // A copy each: no case pays for another.
    let uplink = node.clone().uplink(&case.frame[..], NOW);
    [uplink, node.clone().pod(&case.frame[..], NOW)]
}

#[test]
fn every_frame_of_the_table_meets_its_fate() {
    for case in table() {
        assert_eq!(
            fates(&node(), &case),
            [case.uplink, case.pod],
            "{}",
            case.name
        );
    }
}

#[test]
fn names_are_unique() {
    let mut names = HashSet::new();
    for case in table() {
        assert!(names.insert(case.name), "{}", case.name);
    }
}

#[test]
fn a_frame_cut_anywhere_is_never_dropped_for_more_than_it_shows() {
    for case in table() {
        for len in 0..case.frame.len() {
            let cut = Case {
                frame: case.frame[..len].to_vec(),
                ..case.clone()
            };
            for fate in fates(&node(), &cut) {
                // A cut makes the outermost UDP length wrong; only Ethernet's padding may go.
                let whole = fate == case.uplink || fate == case.pod;
                let passed = matches!(fate, Fate::Unselected | Fate::Unparsed(_));
                assert!(whole || passed, "{} at {len}: {fate:?}", case.name);
            }
        }
    }
}

#[test]
fn monitor_drops_nothing_and_tells_all_that_enforce_drops() {
    let [(_, enforce), (_, monitor)] = &variants()[..2] else {
        panic!("the first two variants")
    };
    for case in table() {
        let expected = fates(enforce, &case).map(|fate| match fate {
            Fate::Dropped(reason) => Fate::WouldDrop(reason),
            other => other,
        });
        assert_eq!(fates(monitor, &case), expected, "{}", case.name);
    }
}

#[test]
fn a_policy_without_checks_passes_everything() {
    for (name, node) in variants()
        .iter()
        .filter(|(name, _)| ["off", "nothing"].contains(name))
    {
        for case in table() {
            for fate in fates(node, &case) {
                let drops = matches!(fate, Fate::Dropped(_) | Fate::WouldDrop(_));
                assert!(!drops, "{name}: {}: {fate:?}", case.name);
            }
        }
    }
}

#[test]
fn no_policy_touches_what_no_transport_selects() {
    for (name, node) in variants() {
        let aside = |case: &Case| case.uplink == Fate::Unselected;
        for case in table().into_iter().filter(aside) {
            assert_eq!(
                fates(&node, &case)[0],
                Fate::Unselected,
                "{name}: {}",
                case.name
            );
        }
    }
}

#[test]
fn spent_budgets_stop_all_but_established_flows() {
    let (_, drained) = variants()
        .into_iter()
        .find(|(name, _)| *name == "no_packets_left")
        .unwrap();
    let judged = table()
        .into_iter()
        .filter(|case| case.uplink == Fate::Passed);
    for case in judged {
        let free = case.name.starts_with("established_");
        let dropped = matches!(fates(&drained, &case)[0], Fate::Dropped(_));
        assert_eq!(dropped, !free, "{}", case.name);
    }
    assert_eq!(table::EMPTY >> 62, 0, "leaves room for a charge");
}
