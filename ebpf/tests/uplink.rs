//! The programs at the uplink: endpoints that live there, and what they go by.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "programs/machine.rs"]
mod machine;
#[path = "../abi/tests/packets/mod.rs"]
mod packets;
mod support;

use machine::{Machine, Train, Verdict};
use packets::node::Node;
use packets::quic::{initial, short};
use packets::table::{CLIENT, ESTABLISHED, SERVER, host, node, variants};
use packets::udp;
use stoq_ebpf_abi::flow::state;
use stoq_ebpf_abi::maps::{Event, FlowKey, endpoint_flag};
use support::in_scratch;

fn key(client: &str) -> FlowKey {
    FlowKey {
        transport: 0,
        peer: host(client),
        ports: 40000 << 16 | 4433,
    }
}

/// All endpoints live at the uplink.
fn host_network() -> Node {
    let mut node = node();
    let endpoints = node.endpoints.values_mut();
    endpoints.for_each(|endpoint| endpoint.flags |= endpoint_flag::UPLINK);
    node
}

fn hello(id: &[u8]) -> Vec<u8> {
    let payload = initial().scid_of(id).filling(1200);
    udp(CLIENT, SERVER).payload(payload).frame()
}

#[test]
fn an_answer_begins_the_flow_of_the_initial_that_was_last_sent() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&host_network());
        // The first connection never comes to be.
        for id in [[0x0a; 8], [0x0b; 8]] {
            assert_eq!(machine.uplink(&hello(&id)), Verdict::Pass);
            assert_eq!(machine.flow(&key(CLIENT)), None, "a flood makes no flows");
        }
        let answer = initial().dcid_of(&[0x0b; 8]).scid(8).filling(1200);
        let answer = udp(SERVER, CLIENT).payload(answer).frame();
        machine.tc("stoq_uplink_out", &answer, Train::default());
        let inward = udp(CLIENT, SERVER).payload(short(false, 60)).frame();
        assert_eq!(machine.uplink(&inward), Verdict::Pass);
        let outward = udp(SERVER, CLIENT).payload(short(false, 60)).frame();
        machine.tc("stoq_uplink_out", &outward, Train::default());

        let flow = machine.flow(&key(CLIENT)).unwrap();
        assert_eq!((flow.endpoint, flow.state), (1, state::ESTABLISHED));
        let counted = machine.counted(0);
        let [opened, established] =
            [Event::Opened, Event::Established].map(|event| counted.events[event as usize]);
        assert_eq!((opened, established, counted.flows), (1, 1, 1));
        assert_eq!(counted.packets, [3, 2], "each at this hook alone");
    });
}

#[test]
fn stateless_resets_establish_nothing() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&host_network());
        for (probe, reset) in [(1200, 43), (1200, 43), (30, 29), (60, 43)] {
            let inward = udp(CLIENT, SERVER).payload(short(true, probe)).frame();
            assert_eq!(machine.uplink(&inward), Verdict::Pass);
            let outward = udp(SERVER, CLIENT).payload(short(false, reset)).frame();
            machine.tc("stoq_uplink_out", &outward, Train::default());
        }
        let flow = machine.flow(&key(CLIENT)).unwrap();
        assert_eq!(flow.state, state::SEEN);
    });
}

#[test]
fn a_flow_that_was_not_heard_of_for_long_pays_until_it_is() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let spent = variants().into_iter();
        let (_, spent) = { spent }
            .find(|(name, _)| *name == "no_packets_left")
            .unwrap();
        machine.fill(&spent);
        let frame = udp(ESTABLISHED, SERVER).payload(short(false, 60)).frame();
        assert_eq!(machine.uplink(&frame), Verdict::Pass);
        machine.hear_of(&key(ESTABLISHED), 1);
        assert_eq!(machine.uplink(&frame), Verdict::Drop);
        // What goes out is heard.
        let outward = udp(SERVER, ESTABLISHED).payload(short(false, 60)).frame();
        machine.tc("stoq_pod_out", &outward, Train::default());
        assert_eq!(machine.uplink(&frame), Verdict::Pass);
    });
}

#[test]
fn an_endpoint_that_goes_is_gone_a_tick_later() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let bad = udp(CLIENT, SERVER).payload(initial().filling(1199)).frame();
        for round in 0..20 {
            machine.fill(&node());
            assert_eq!(machine.uplink(&bad), Verdict::Drop, "{round}");
            let mut without = node();
            without.endpoints.clear();
            machine.fill(&without);
            assert_eq!(machine.uplink(&bad), Verdict::Pass, "{round}");
        }
    });
}
