//! The loaded programs, run on the packet table: the kernel's verdicts are the host's.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

#[path = "programs/front_ends.rs"]
mod front_ends;
#[path = "programs/machine.rs"]
mod machine;
#[path = "../abi/tests/packets/mod.rs"]
mod packets;
mod support;

use machine::{Machine, TRANSPORTS, Train, Verdict, tc_takes};
use packets::node::{Fate, Node};
use packets::quic::{initial, long, padded, short};
use packets::table::{CLIENT, SERVER, host, node, table, variants};
use packets::udp;
use packets::watch::seen;
use stoq_ebpf_abi::flow::{Direction, state};
use stoq_ebpf_abi::maps::{
    Counters, Endpoint, EndpointKey, Event, FlowKey, Hook, endpoint_flag, mode,
};
use stoq_ebpf_abi::parse::{self, Datagram};
use stoq_ebpf_abi::quic::Kind;
use support::in_scratch;

/// Length of an Ethernet header: the kernel's test run takes nothing shorter.
const ETHERNET: usize = 14;
/// Behind all headers of most frames.
const ENOUGH: usize = 120;
/// Nobody has heard of it.
const STRANGER: &str = "192.0.2.77:40000";
/// All buckets of the table are full or empty at any clock.
const NOW: u64 = 1 << 40;

fn verdict(fate: Fate) -> Verdict {
    match fate {
        Fate::Dropped(_) => Verdict::Drop,
        _ => Verdict::Pass,
    }
}

/// All that both transports counted as dropped, or as to be dropped.
fn refused(machine: &Machine, hook: Hook) -> Vec<Fate> {
    let mut fates = Vec::new();
    for transport in 0..TRANSPORTS {
        let counted = machine.counted(transport);
        for reason in stoq_ebpf_abi::guard::Reason::ALL {
            let [dropped, would_drop] = [counted.dropped, counted.would_drop]
                .map(|counts| counts[hook as usize][reason as usize]);
            fates.extend((0..dropped).map(|_| Fate::Dropped(reason)));
            fates.extend((0..would_drop).map(|_| Fate::WouldDrop(reason)));
        }
    }
    fates
}

fn refusal(fate: Fate) -> Vec<Fate> {
    match fate {
        Fate::Dropped(_) | Fate::WouldDrop(_) => vec![fate],
        _ => vec![],
    }
}

/// A monitor at the uplink leaves the counting to the pod's hook.
fn at_uplink(fate: Fate) -> Vec<Fate> {
    match fate {
        Fate::WouldDrop(_) => vec![],
        other => refusal(other),
    }
}

#[test]
fn every_hook_says_what_the_host_says_of_every_frame_under_every_policy() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        for (variant, node) in variants() {
            machine.fill(&node);
            for case in table() {
                let name = format!("{} under {variant}", case.name);
                machine.reset(&node);
                let uplink = node.clone().uplink(&case.frame[..], NOW);
                assert_eq!(machine.uplink(&case.frame), verdict(uplink), "XDP, {name}");
                assert_eq!(
                    refused(&machine, Hook::Uplink),
                    at_uplink(uplink),
                    "XDP, {name}"
                );
                if !tc_takes(&case.frame) {
                    continue;
                }
                machine.reset(&node);
                assert_eq!(
                    machine.uplink_in(&case.frame),
                    verdict(uplink),
                    "TCX, {name}"
                );
                assert_eq!(
                    refused(&machine, Hook::Uplink),
                    at_uplink(uplink),
                    "TCX, {name}"
                );
                machine.reset(&node);
                let pod = node.clone().pod(&case.frame[..], NOW);
                assert_eq!(machine.pod_in(&case.frame), verdict(pod), "pod, {name}");
                assert_eq!(refused(&machine, Hook::Pod), refusal(pod), "pod, {name}");
            }
        }
    });
}

#[test]
fn a_frame_cut_anywhere_gets_the_host_s_verdict() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let node = node();
        machine.fill(&node);
        for case in table() {
            for len in ETHERNET..case.frame.len().min(ENOUGH) {
                let frame = &case.frame[..len];
                let name = format!("{} at {len}", case.name);
                let uplink = verdict(node.clone().uplink(frame, NOW));
                assert_eq!(machine.uplink(frame), uplink, "XDP, {name}");
                if tc_takes(frame) {
                    let pod = verdict(node.clone().pod(frame, NOW));
                    assert_eq!(machine.uplink_in(frame), uplink, "TCX, {name}");
                    assert_eq!(machine.pod_in(frame), pod, "pod, {name}");
                }
            }
        }
    });
}

/// The endpoint that a frame is for.
fn endpoint(node: &Node, frame: &[u8]) -> Option<(Endpoint, Datagram)> {
    let mut datagram = Datagram::default();
    parse::frame(frame, 0, &mut datagram);
    let key = EndpointKey {
        addr: datagram.destination,
        port: datagram.destination_port.into(),
    };
    Some((*node.endpoints.get(&key)?, datagram))
}

/// The QUIC packets of a frame that passes to an endpoint at the pod, as the host counts them.
fn kinds(node: &Node, frame: &[u8]) -> Option<[u64; Kind::COUNT]> {
    let (endpoint, datagram) = endpoint(node, frame)?;
    if endpoint.flags & endpoint_flag::QUIC == 0 {
        return Some([0; Kind::COUNT]);
    }
    let seen = seen(frame, (datagram.payload, datagram.len), Direction::In, NOW);
    Some(Kind::ALL.map(|kind| seen.census.count(kind as u32)))
}

#[test]
fn what_passes_is_counted_as_the_host_counts_it() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let node = node();
        machine.fill(&node);
        for case in table().into_iter().filter(|case| case.pod == Fate::Passed) {
            machine.reset(&node);
            machine.pod_in(&case.frame);
            let counted: Vec<Counters> = (0..TRANSPORTS).map(|t| machine.counted(t)).collect();
            let packets: u64 = counted.iter().map(|counters| counters.packets[0]).sum();
            let (endpoint, _) = endpoint(&node, &case.frame).unwrap();
            let observed = endpoint.lives_at(Hook::Pod);
            assert_eq!(packets, observed.into(), "{}", case.name);
            if !observed {
                continue;
            }
            let moved = counted
                .iter()
                .find(|counters| counters.packets[0] != 0)
                .unwrap();
            assert_eq!(
                Some(moved.kinds),
                kinds(&node, &case.frame),
                "{}",
                case.name
            );
        }
    });
}

#[test]
fn a_handshake_through_the_pod_s_hooks_establishes_its_flow() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let node = node();
        machine.fill(&node);
        let inward = |payload: Vec<u8>| udp(CLIENT, SERVER).payload(payload).frame();
        let outward = |payload: Vec<u8>| udp(SERVER, CLIENT).payload(payload).frame();
        let answer = initial().dcid_of(&[0x51; 8]).filling(1200);
        for (name, frame) in [
            ("stoq_pod_in", inward(initial().filling(1200))),
            ("stoq_pod_out", outward(answer)),
            ("stoq_pod_in", inward(short(false, 60))),
            ("stoq_pod_out", outward(short(false, 60))),
        ] {
            assert_eq!(machine.tc(name, &frame, Train::default()), Verdict::Pass);
        }
        let key = FlowKey {
            transport: 0,
            peer: host(CLIENT),
            ports: 40000 << 16 | 4433,
        };
        let flow = machine.flow(&key).unwrap();
        assert_eq!((flow.endpoint, flow.state), (1, state::ESTABLISHED));
        assert_eq!((flow.packets, flow.bytes), ([2, 2], [1260, 1260]));
        let counted = machine.counted(0);
        assert_eq!((counted.packets, counted.bytes), ([2, 2], [1260, 1260]));
        let [opened, established] =
            [Event::Opened, Event::Established].map(|event| counted.events[event as usize]);
        assert_eq!((opened, established, counted.flows), (1, 1, 1));

        let spent = variants()
            .into_iter()
            .find(|(name, _)| *name == "no_packets_left");
        machine.set_budgets(&spent.unwrap().1);
        for (source, expected) in [(CLIENT, Verdict::Pass), (STRANGER, Verdict::Drop)] {
            let frame = udp(source, SERVER).payload(short(false, 60)).frame();
            assert_eq!(machine.uplink(&frame), expected, "{source}");
            assert_eq!(machine.pod_in(&frame), expected, "{source}");
        }
    });
}

#[test]
fn a_connection_that_migrates_is_established_at_its_new_address_once_that_is_answered() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let node = node();
        machine.fill(&node);
        const MOVED: &str = "192.0.2.9:50123";
        let inward = udp(MOVED, SERVER).payload(short(false, 60)).frame();
        let outward = udp(SERVER, MOVED).payload(short(false, 60)).frame();
        let spent = variants().into_iter();
        let spent = { spent }
            .find(|(name, _)| *name == "no_packets_left")
            .unwrap()
            .1;
        machine.set_budgets(&spent);
        assert_eq!(machine.uplink(&inward), Verdict::Drop, "a stranger yet");
        assert_eq!(machine.pod_in(&inward), Verdict::Drop, "a stranger yet");
        machine.set_budgets(&node);
        assert_eq!(machine.uplink(&inward), Verdict::Pass);
        assert_eq!(machine.pod_in(&inward), Verdict::Pass);
        assert_eq!(
            machine.tc("stoq_pod_out", &outward, Train::default()),
            Verdict::Pass
        );
        machine.set_budgets(&spent);
        assert_eq!(machine.uplink(&inward), Verdict::Pass);
        assert_eq!(machine.pod_in(&inward), Verdict::Pass);
        let key = FlowKey {
            transport: 0,
            peer: host(MOVED),
            ports: 50123 << 16 | 4433,
        };
        assert_eq!(machine.flow(&key).unwrap().state, state::ESTABLISHED);
    });
}

#[test]
fn an_offloaded_train_counts_and_costs_its_segments() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let mut node = node();
        let policy = node.policies.get_mut(&0).unwrap();
        // 40 packets a second, and as many at once: trains of 30 pass, and then no longer.
        (policy.source_packet, policy.burst) = (16_000_000_000 / 40, 16_000_000_000);
        machine.fill(&node);
        let frame = udp(CLIENT, SERVER).payload(vec![0x40; 2_950]).frame();
        let train = Train {
            segments: 30,
            size: 100,
        };
        // As from a virtual machine: how many they are, the kernel does not say.
        let uncounted = Train {
            segments: 0,
            ..train
        };
        assert_eq!(machine.tc("stoq_pod_in", &frame, uncounted), Verdict::Pass);
        assert_eq!(machine.tc("stoq_pod_in", &frame, train), Verdict::Drop);
        let counted = machine.counted(0);
        assert_eq!((counted.packets, counted.bytes), ([30, 0], [2_950, 0]));
        assert_eq!(counted.kinds[Kind::Short as usize], 30);
        assert_eq!(counted.dropped[Hook::Pod as usize].iter().sum::<u64>(), 30);
    });
}

#[test]
fn every_segment_of_a_train_of_long_headers_is_of_its_kind() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let mut node = node();
        node.policies
            .values_mut()
            .for_each(|policy| policy.mode = mode::OFF);
        machine.fill(&node);
        let segment = padded(long(Kind::Handshake).bytes(), 300);
        let payload = [segment.clone(), segment, short(true, 40)].concat();
        let frame = udp(CLIENT, SERVER).payload(payload).frame();
        machine.tc(
            "stoq_pod_in",
            &frame,
            Train {
                segments: 3,
                size: 300,
            },
        );
        let counted = machine.counted(0);
        let [handshake, short] =
            [Kind::Handshake, Kind::Short].map(|kind| counted.kinds[kind as usize]);
        assert_eq!((handshake, short, counted.packets), (2, 1, [3, 0]));
    });
}
