//! The tables, on the maps of the real object.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

#[path = "support/maps.rs"]
mod maps;
mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, PerCpuArray, PerCpuValues};
use ipnet::IpNet;
use stoq_ebpf::flows::Flows;
use stoq_ebpf::loader::Options;
use stoq_ebpf::stats::Stats;
use stoq_ebpf::tables::{
    Desired, DesiredEndpoint, DesiredFrontEnd, DesiredTransport, Mode, Observed, PolicySpec,
    Tables, addr,
};
use stoq_ebpf_abi::maps::{Activity, CidrV4, Counters, cidr_flag, endpoint_flag};
use stoq_ebpf_abi::parse::Addr;
use stoq_ebpf_abi::source::{DebtLine, SETS_PER_LINE, SourceSet};
use support::in_scratch;

fn endpoint(addr: &str, owner: u64) -> DesiredEndpoint {
    DesiredEndpoint {
        addr: addr.parse().unwrap(),
        port: 4433,
        quic: true,
        uplink: false,
        pod_alone: false,
        steered: false,
        owner,
    }
}

fn edge() -> DesiredTransport {
    let nets = |text: &str| {
        text.split_whitespace()
            .map(|net| net.parse().unwrap())
            .collect()
    };
    DesiredTransport {
        name: "default/edge".to_owned(),
        policy: PolicySpec {
            mode: Mode::Enforce,
            deny: nets("203.0.113.0/24 2001:db8:bad::/48"),
            exempt: nets("203.0.113.7/32 0.0.0.0/0"),
            ..PolicySpec::default()
        },
        per_pod_counters: true,
        endpoints: vec![endpoint("10.0.0.1", 7), endpoint("2001:db8::1", 8)],
        front_ends: vec![],
    }
}

fn desired() -> Desired {
    Desired {
        transports: vec![edge()],
        nodes: vec!["192.0.2.1".parse().unwrap(), "2001:db8::9".parse().unwrap()],
    }
}

fn array<T: aya::Pod>(maps: &Path, name: &str) -> Array<MapData, T> {
    Array::try_from(maps::open(maps, name)).unwrap()
}

#[test]
fn a_changed_policy_forgets_what_sources_owe_and_the_same_does_not() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let mut tables = Tables::open(&maps).unwrap();
        tables.apply(&desired()).unwrap();
        let mut sources: Array<_, SourceSet> = array(&maps, "STOQ_SOURCES");
        let mut debts: Array<_, DebtLine> = array(&maps, "STOQ_DEBTS");
        let mut owing = SourceSet::default();
        owing.ways[0].buckets.packets = u64::MAX;
        let until = [u32::MAX; SETS_PER_LINE];
        sources.set(77, owing, 0).unwrap();
        debts.set(4, DebtLine { until }, 0).unwrap();

        tables.apply(&desired()).unwrap();
        assert_eq!(sources.get(&77, 0).unwrap(), owing);

        let mut changed = desired();
        changed.transports[0].policy.burst = Duration::from_millis(100);
        tables.apply(&changed).unwrap();
        assert_eq!(sources.get(&77, 0).unwrap(), SourceSet::default());
        assert_eq!(debts.get(&4, 0).unwrap(), DebtLine::default());
    });
}

#[test]
fn what_is_applied_is_read_back() {
    in_scratch(|scratch| {
        let mut tables = Tables::open(&maps::load(scratch, &Options::default())).unwrap();
        let applied = tables.apply(&desired()).unwrap();
        assert!(applied.transports[0].refusals.is_empty());
        let observed = tables.observe().unwrap();
        assert_eq!(observed.transports[&0], "default/edge");
        let nets: Vec<_> = observed.cidrs[&0].keys().map(IpNet::to_string).collect();
        assert_eq!(
            nets,
            [
                "0.0.0.0/0",
                "203.0.113.0/24",
                "203.0.113.7/32",
                "2001:db8:bad::/48"
            ]
        );
        let endpoints: BTreeSet<_> = observed
            .endpoints
            .iter()
            .map(|(key, value)| (addr::from_wire(key.addr), key.port, value.owner, value.slot))
            .collect();
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(
            endpoints,
            BTreeSet::from([(v4, 4433, 7, 256), (v6, 4433, 8, 257)])
        );
        assert_eq!(observed.nodes.len(), 2);
        assert_eq!(observed.histograms, BTreeSet::from([0, 256, 257]));
    });
}

#[test]
fn a_front_end_is_an_entry_but_nothing_that_is_steered_by_itself() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let mut tables = Tables::open(&maps).unwrap();
        let mut desired = desired();
        desired.transports[0].endpoints[0].steered = true;
        desired.transports[0].front_ends = vec![DesiredFrontEnd {
            addr: "192.0.2.1".parse().unwrap(),
            port: 30443,
            pod_port: 4433,
            quic: true,
            pod_alone: false,
            tracked: false,
        }];
        let applied = tables.apply(&desired).unwrap();
        assert!(applied.transports[0].refusals.is_empty());
        let observed = tables.observe().unwrap();
        let mut entries = observed.endpoints.iter();
        let (_, entry) = entries.find(|(key, _)| key.port == 30443).unwrap();
        let flags = endpoint_flag::QUIC | endpoint_flag::STEERED | endpoint_flag::FRONT_END;
        assert_eq!((entry.flags, entry.port), (flags, 4433));
        let at = "10.0.0.1:4433".parse().unwrap();
        assert_eq!(tables.steered().unwrap(), [(at, 7)]);
        // By which the programs find what a flow names.
        let addresses: Array<_, Addr> = array(&maps, "STOQ_ADDRESSES");
        for endpoint in &applied.transports[0].endpoints {
            let addr = addresses.get(&endpoint.id, 0).unwrap();
            assert_eq!(addr::from_wire(addr), endpoint.addr);
        }
        assert_eq!(tables.apply(&desired).unwrap().writes, 0);
    });
}

#[test]
fn a_program_s_lookup_finds_what_the_lists_say_of_a_source() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        Tables::open(&maps).unwrap().apply(&desired()).unwrap();
        let trie = maps::open(&maps, "STOQ_CIDRS_V4");
        let trie = LpmTrie::<_, CidrV4, u32>::try_from(trie).unwrap();
        let all = cidr_flag::DENY | cidr_flag::EXEMPT | cidr_flag::ALLOW;
        let cases = [
            (0, "203.0.113.7", Some(all)),
            (0, "203.0.113.8", Some(all)),
            (0, "203.0.114.1", Some(cidr_flag::EXEMPT | cidr_flag::ALLOW)),
            (1, "203.0.113.7", None),
        ];
        for (transport, source, expected) in cases {
            let addr = addr::to_wire(source.parse().unwrap())[3];
            let key = Key::new(64, CidrV4 { transport, addr });
            assert_eq!(trie.get(&key, 0).ok(), expected, "{transport} {source}");
        }
    });
}

#[test]
fn a_second_agent_writes_nothing_and_keeps_the_numbers() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let first = Tables::open(&maps).unwrap().apply(&desired()).unwrap();
        // As an upgrade does: the object is loaded again onto the pins.
        maps::load(scratch, &Options::default());
        let second = Tables::open(&maps).unwrap().apply(&desired()).unwrap();
        assert_eq!(second.writes, 0);
        assert_eq!(second.transports, first.transports);
    });
}

#[test]
fn nothing_is_left_when_nothing_is_desired() {
    in_scratch(|scratch| {
        let mut tables = Tables::open(&maps::load(scratch, &Options::default())).unwrap();
        tables.apply(&desired()).unwrap();
        tables.apply(&Desired::default()).unwrap();
        assert_eq!(tables.observe().unwrap(), Observed::default());
        assert_eq!(tables.apply(&Desired::default()).unwrap().writes, 0);
    });
}

#[test]
fn a_slot_and_an_id_given_out_again_start_from_nothing() {
    in_scratch(|scratch| {
        let maps = maps::load(scratch, &Options::default());
        let mut tables = Tables::open(&maps).unwrap();
        let placed = tables.apply(&desired()).unwrap().transports[0].endpoints[0];
        count_in(&maps, placed.slot);
        be_active(&maps, placed.id);
        assert_eq!(
            Stats::open(&maps)
                .unwrap()
                .read(placed.slot)
                .unwrap()
                .counters
                .flows,
            cpus()
        );
        tables.apply(&Desired::default()).unwrap();
        let again = tables.apply(&desired()).unwrap().transports[0].endpoints[0];
        assert_eq!(again, placed);
        assert_eq!(
            Stats::open(&maps)
                .unwrap()
                .read(again.slot)
                .unwrap()
                .counters
                .flows,
            0
        );
        let activity = Flows::open(&maps).unwrap().activity(again.id).unwrap();
        assert_eq!(activity, Activity::default());
    });
}

#[test]
fn full_tables_are_read_and_compared_in_good_time() {
    in_scratch(|scratch| {
        let mut tables = Tables::open(&maps::load(scratch, &Options::default())).unwrap();
        let desired = Desired {
            transports: (0..32).map(large).collect(),
            nodes: (0..1000u32)
                .map(|n| IpAddr::from(n.to_be_bytes()))
                .collect(),
        };
        let began = Instant::now();
        let applied = maps::apply(&mut tables, &desired);
        let first = began.elapsed();
        assert!(applied.transports.iter().all(|t| t.refusals.is_empty()));
        let began = Instant::now();
        assert_eq!(tables.apply(&desired).unwrap().writes, 0);
        let again = began.elapsed();
        eprintln!("applied in {first:?}, compared in {again:?}");
        assert!(again.as_millis() < 2000, "{again:?}");
    });
}

/// One of 32 transports that together fill the CIDRs' table and all slots.
fn large(n: u8) -> DesiredTransport {
    let mut transport = edge();
    transport.name = format!("default/t{n}");
    let address = |m: u16, first: u8| {
        let [high, low] = m.to_be_bytes();
        IpAddr::from([first, n, high, low])
    };
    transport.policy.deny = (0..2000).map(|m| address(m, 10).into()).collect();
    let endpoints = (0..24).map(|m| (address(m, 172), u64::from(n) * 1000 + u64::from(m)));
    let endpoints = endpoints.map(|(addr, owner)| DesiredEndpoint {
        addr,
        ..endpoint("::", owner)
    });
    transport.endpoints = endpoints.collect();
    transport
}

fn cpus() -> u64 {
    aya::util::nr_cpus().unwrap() as u64
}

fn count_in(maps: &std::path::Path, slot: u32) {
    let map = maps::open(maps, "STOQ_COUNTERS");
    let mut counters = PerCpuArray::<_, Counters>::try_from(map).unwrap();
    let one = Counters {
        flows: 1,
        ..Counters::default()
    };
    counters
        .set(
            slot,
            PerCpuValues::try_from(vec![one; cpus() as usize]).unwrap(),
            0,
        )
        .unwrap();
}

fn be_active(maps: &std::path::Path, id: u32) {
    let map = maps::open(maps, "STOQ_ACTIVITY");
    let mut activity = Array::<_, Activity>::try_from(map).unwrap();
    activity
        .set(
            id,
            Activity {
                pod_in: 5,
                ..Activity::default()
            },
            0,
        )
        .unwrap();
}
