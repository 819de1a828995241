//! The whole page against a golden one.

use std::collections::BTreeSet;
use std::time::Duration;
use std::{env, fs};

use stoq_ebpf_abi::histogram::{SIZE_BITS, TIME_BITS, index};

use stoq_crds::ObjectName;
use stoq_ebpf::broker::Reason;
use stoq_ebpf::relay::Traffic;

use super::*;
use crate::broker::Event;
use crate::status::{AttachedStatus, GateStatus, InterfaceStatus, Status, TransportStatus};

#[test]
fn the_page_is_the_golden_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.prom");
    let page = render(&snapshot());
    if env::var_os("UPDATE").is_some() {
        fs::write(path, &page).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap();
    for (line, (found, expected)) in page.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", line + 1);
    }
    assert_eq!(page.len(), golden.len());
}

#[test]
fn every_registered_family_can_appear() {
    let page = render(&snapshot());
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: BTreeSet<_> = types.map(str::to_owned).collect();
    let registered = registry::ALL.iter();
    let expected = registered.map(|one| format!("{} {}", one.name, one.kind.as_str()));
    assert_eq!(found, expected.collect());
}

#[test]
fn an_agent_without_transports_or_rights_still_has_a_page() {
    let page = render(&Snapshot::default());
    assert!(page.contains("stoq_build_info"));
    assert!(!page.contains("stoq_packets_total"));
}

fn af_xdp() -> AfXdp {
    let name = ObjectName {
        namespace: "default".into(),
        name: "edge".into(),
    };
    let share = Share {
        sessions: 2,
        memory: 8192,
        traffic: Traffic {
            packets: 100,
            dropped: 7,
        },
    };
    AfXdp {
        transports: [(name, share)].into(),
        events: [
            ((Event::Granted, None), 3),
            ((Event::Refused, Some(Reason::NotYours)), 2),
        ]
        .into(),
    }
}

fn snapshot() -> Snapshot {
    let mut reconciles = Reconciles::default();
    reconciles.record(Duration::from_millis(3));
    reconciles.fail("attach");
    Snapshot {
        status: status(),
        slots: [(0, slot())].into(),
        connections: [(0, connections())].into(),
        af_xdp: af_xdp(),
        unjudged: stoq_ebpf_abi::maps::Unjudged {
            unparsed: [[1, 2, 3], [4, 5, 6]],
        },
        programs: vec![runs(1, 10), runs(2, 20)],
        bpf_memory: Some(1 << 20),
        reconciles,
        process: Some(Process {
            cpu: Duration::from_millis(1500),
            resident: 4096,
            virtual_memory: 8192,
            threads: 3,
            open_fds: 12,
            max_fds: Some(1024),
            started: Duration::from_secs(1_700_000_000),
        }),
    }
}

fn runs(seconds: u64, runs: u64) -> ProgramRuns {
    ProgramRuns {
        program: "stoq_uplink".to_owned(),
        time: Duration::from_secs(seconds),
        runs,
    }
}

fn slot() -> Slot {
    let mut slot = Slot::default();
    slot.counters.packets = [3, 2];
    slot.counters.bytes = [3600, 100];
    slot.counters.dropped[0][2] = 7;
    slot.counters.would_drop[1][9] = 8;
    slot.counters.kinds = [1, 2, 3, 4, 5, 6, 7];
    slot.counters.events = [5, 4];
    slot.histograms.size[index(1200, SIZE_BITS)] = 3;
    slot.histograms.size[index(50, SIZE_BITS)] = 2;
    slot.histograms.handshake[index(20_000, TIME_BITS)] = 1;
    slot.histograms.handshake_sum = 20_000;
    slot
}

fn connections() -> Connections {
    Connections {
        handshaking: 1,
        established: 2,
        idle: 3,
        became_idle: 4,
        evicted: 5,
    }
}

fn status() -> Status {
    let text = str::to_owned;
    Status {
        agent_version: text("0.1.0"),
        gates: vec![
            GateStatus {
                name: text("tcx"),
                state: text("Available"),
                ..GateStatus::default()
            },
            GateStatus {
                name: text("xdp_native"),
                interface: text("eth0"),
                state: text("Unknown"),
                ..GateStatus::default()
            },
        ],
        interfaces: vec![InterfaceStatus {
            name: text("eth0"),
            attached: vec![AttachedStatus {
                program: text("stoq_uplink"),
                hook: text("xdp"),
                mode: text("Native"),
                program_id: 7,
            }],
            ..InterfaceStatus::default()
        }],
        transports: vec![TransportStatus {
            namespace: text("default"),
            name: text("edge"),
            mode: text("Native"),
            reason: text("Native"),
            index: Some(0),
            slots: vec![0],
            tier: text("Transport"),
            ..TransportStatus::default()
        }],
        ..Status::default()
    }
}
