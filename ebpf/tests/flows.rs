//! Sweeps of the flow table, on the maps of the real object.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

#[path = "support/maps.rs"]
mod maps;
mod support;

use std::path::Path;
use std::time::Duration;

use aya::maps::{HashMap, MapData};
use stoq_ebpf::flows::{Flows, Tally};
use stoq_ebpf::loader::Options;
use stoq_ebpf_abi::flow::{Flow, state};
use stoq_ebpf_abi::maps::FlowKey;
use support::in_scratch;

const IDLE_AFTER: Duration = Duration::from_secs(30);
const GONE_AFTER: Duration = Duration::from_secs(300);
const SECOND: u64 = 1_000_000_000;

/// Room for twice what the tests put in: an LRU table evicts before it is full.
const ROOMY: Options = Options {
    flows: 131_072,
    coarse_clock: true,
};

type Table = HashMap<MapData, FlowKey, Flow>;

fn table(maps: &Path) -> Table {
    HashMap::try_from(maps::open(maps, "STOQ_FLOWS")).unwrap()
}

fn key(transport: u32, peer: u32) -> FlowKey {
    FlowKey {
        transport,
        peer: [0, 0, 0, peer],
        ports: 4433,
    }
}

fn fill(table: &mut Table, transport: u32, flows: u32, state: u32, last_seen: u64) {
    let flow = Flow {
        state,
        last_seen,
        ..Flow::default()
    };
    for peer in 0..flows {
        table.insert(key(transport, peer), flow, 0).unwrap();
    }
}

#[test]
fn flows_are_counted_by_transport_and_state() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &ROOMY);
        let mut table = table(&maps);
        let now = 1000 * SECOND;
        fill(&mut table, 1, 10, state::SEEN, now);
        fill(&mut table, 2, 20, state::HANDSHAKING, now - 40 * SECOND);
        fill(&mut table, 3, 30, state::ESTABLISHED, now);
        fill(&mut table, 4, 40, state::ESTABLISHED, now - 40 * SECOND);
        let mut flows = Flows::open(&maps).unwrap();
        let census = flows.sweep(now, IDLE_AFTER, GONE_AFTER).unwrap();
        assert_eq!(
            census.transport(1),
            Tally {
                seen: 10,
                ..Tally::default()
            }
        );
        assert_eq!(
            census.transport(2),
            Tally {
                handshaking: 20,
                ..Tally::default()
            }
        );
        assert_eq!(
            census.transport(3),
            Tally {
                established: 30,
                ..Tally::default()
            }
        );
        assert_eq!(
            census.transport(4),
            Tally {
                idle: 40,
                ..Tally::default()
            }
        );
        let census = flows
            .sweep(now + 40 * SECOND, IDLE_AFTER, GONE_AFTER)
            .unwrap();
        assert_eq!(
            census.transport(3),
            Tally {
                idle: 30,
                idled: 30,
                ..Tally::default()
            }
        );
        assert_eq!(
            census.transport(4),
            Tally {
                idle: 40,
                ..Tally::default()
            }
        );
    });
}

#[test]
fn a_sweep_never_writes_to_a_flow_that_stays() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &ROOMY);
        let mut table = table(&maps);
        fill(&mut table, 1, 1, state::ESTABLISHED, 960 * SECOND);
        let before = table.get(&key(1, 0), 0).unwrap();
        let mut flows = Flows::open(&maps).unwrap();
        flows.sweep(1000 * SECOND, IDLE_AFTER, GONE_AFTER).unwrap();
        assert_eq!(table.get(&key(1, 0), 0).unwrap(), before);
    });
}

#[test]
fn long_silent_flows_go_and_all_others_stay() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &ROOMY);
        let mut table = table(&maps);
        let now = 1000 * SECOND;
        fill(
            &mut table,
            1,
            20_000,
            state::ESTABLISHED,
            now - 301 * SECOND,
        );
        fill(&mut table, 2, 5, state::ESTABLISHED, now - 299 * SECOND);
        let mut flows = Flows::open(&maps).unwrap();
        let sweeps: Vec<_> = (0..3)
            .map(|_| flows.sweep(now, IDLE_AFTER, GONE_AFTER).unwrap())
            .collect();
        assert_eq!(
            sweeps.iter().map(|c| c.transport(1).gone).sum::<u64>(),
            20_000
        );
        assert!(sweeps.iter().all(|c| c.transport(2).idle == 5));
        for census in &sweeps[..2] {
            let tally = census.transport(1);
            assert!(
                tally.gone > 0 && tally.live() > 0,
                "some thousands at a time: {tally:?}"
            );
        }
        assert_eq!(sweeps[2].transport(1).live(), 0);
        assert_eq!(table.keys().count(), 5);
    });
}

#[test]
fn a_full_table_is_swept_quickly() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &ROOMY);
        fill(
            &mut table(&maps),
            1,
            65_536,
            state::ESTABLISHED,
            1000 * SECOND,
        );
        let mut flows = Flows::open(&maps).unwrap();
        // The best of some: caches are shared with all else on the machine.
        let best = (0..10).map(|_| sweep_time(&mut flows)).min().unwrap();
        eprintln!("65,536 flows in {best:?}");
        let limit = if cfg!(debug_assertions) { 100 } else { 30 };
        assert!(best < Duration::from_millis(limit), "{best:?}");
    });
}

fn sweep_time(flows: &mut Flows) -> Duration {
    let began = cpu_time();
    let census = flows.sweep(1000 * SECOND, IDLE_AFTER, GONE_AFTER).unwrap();
    assert_eq!(census.transport(1).established, 65_536);
    cpu_time() - began
}

/// Of this thread.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = stat.split_whitespace().next().unwrap().parse();
    Duration::from_nanos(nanoseconds.unwrap())
}
