//! Packets still addressed to a front end, at the uplink.

use stoq_ebpf_abi::flow::flag;
use stoq_ebpf_abi::guard::Reason;
use stoq_ebpf_abi::maps::Policy;

use super::machine::{Machine, Train, Verdict};
use super::packets::node::Node;
use super::packets::quic::{initial, short};
use super::packets::table::{CLIENT, DENIED, FRONT, SERVER, host, node, variants};
use super::packets::udp;
use super::support::in_scratch;
use super::*;

/// The packet table's node, with another policy for the endpoint and its front end.
fn node_with(change: impl Fn(&mut Policy)) -> Node {
    let mut node = node();
    change(node.policies.get_mut(&0).unwrap());
    node
}

fn to_front(source: &str) -> Vec<u8> {
    udp(source, FRONT).payload(short(false, 60)).frame()
}

/// What both uplink programs say, one after the other.
fn both(machine: &mut Machine, frame: &[u8]) -> [Verdict; 2] {
    [machine.uplink(frame), machine.uplink_in(frame)]
}

#[test]
fn a_flow_that_the_pod_established_is_free_of_the_budgets_at_the_front_end() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&node());
        let answer = initial().dcid_of(&[0x51; 8]).filling(1200);
        let (inward, outward) = (udp(CLIENT, SERVER), udp(SERVER, CLIENT));
        // At the pod the address is the pod's already.
        for (name, packet, payload) in [
            ("stoq_pod_in", &inward, initial().filling(1200)),
            ("stoq_pod_out", &outward, answer),
            ("stoq_pod_in", &inward, short(false, 60)),
            ("stoq_pod_out", &outward, short(false, 60)),
        ] {
            let frame = packet.clone().payload(payload).frame();
            machine.tc(name, &frame, Train::default());
        }
        let spent = variants().into_iter();
        let mut spent = spent.filter(|(name, _)| *name == "no_packets_left");
        machine.set_budgets(&spent.next().unwrap().1);
        let pass = [Verdict::Pass; 2];
        assert_eq!(both(&mut machine, &to_front(CLIENT)), pass);
        let drop = [Verdict::Drop; 2];
        assert_eq!(both(&mut machine, &to_front(STRANGER)), drop);
        let dropped = machine.counted(0).dropped[Hook::Uplink as usize];
        assert_eq!(dropped[Reason::UnestablishedRate as usize], 2);
    });
}

#[test]
fn a_stranger_draws_on_the_budget_that_all_share_with_the_endpoint() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        // One packet an hour.
        let hour = 3600 * 16_000_000_000;
        machine.fill(&node_with(|policy| {
            (policy.unestablished_packet, policy.burst) = (hour, hour);
        }));
        assert_eq!(machine.uplink(&to_front(STRANGER)), Verdict::Pass);
        assert_eq!(machine.uplink(&to_front(STRANGER)), Verdict::Drop);
        let direct = udp(STRANGER, SERVER).payload(short(false, 60)).frame();
        assert_eq!(machine.uplink(&direct), Verdict::Drop);
        assert_eq!(
            machine.pod_in(&direct),
            Verdict::Pass,
            "the pod has its own"
        );
    });
}

#[test]
fn a_denied_source_is_dropped_and_counted_at_the_uplink() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&node());
        let drop = [Verdict::Drop; 2];
        assert_eq!(both(&mut machine, &to_front(DENIED)), drop);
        let dropped = machine.counted(0).dropped;
        assert_eq!(dropped[Hook::Uplink as usize][Reason::Denied as usize], 2);
    });
}

#[test]
fn what_passes_is_observed_by_the_pods_hook_alone() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&Node {
            flows: Default::default(),
            ..node()
        });
        let hello = udp(CLIENT, FRONT).payload(initial().filling(1200)).frame();
        let answer = udp(FRONT, CLIENT).payload(short(false, 60)).frame();
        let pass = [Verdict::Pass; 2];
        assert_eq!(both(&mut machine, &hello), pass);
        machine.tc("stoq_uplink_out", &answer, Train::default());
        let counted = machine.counted(0);
        assert_eq!((counted.packets, counted.flows), ([0, 0], 0));
        for port in [4433, 30443] {
            let key = FlowKey {
                transport: 0,
                peer: host(CLIENT),
                ports: 40000 << 16 | port,
            };
            assert_eq!(machine.flow(&key), None, "{port}");
        }
    });
}

/// The node's, with the front end's flows tracked at the uplink.
fn tracked(mut node: Node) -> Node {
    let entries = node.endpoints.values_mut();
    let front_ends = entries.filter(|entry| entry.is_front_end());
    front_ends.for_each(|entry| entry.flags |= endpoint_flag::UPLINK);
    node
}

/// Of the client's flow with the front end.
fn key() -> FlowKey {
    FlowKey {
        transport: 0,
        peer: host(CLIENT),
        ports: 40000 << 16 | 4433,
    }
}

#[test]
fn a_connection_that_only_the_uplink_sees_is_free_of_the_budgets_and_counted_elsewhere() {
    for inward in ["stoq_uplink", "stoq_uplink_in"] {
        in_scratch(|scratch| {
            let mut machine = Machine::load(scratch);
            machine.fill(&tracked(node()));
            let hello = udp(CLIENT, FRONT).payload(initial().filling(1200)).frame();
            let answer = initial().dcid_of(&[0x51; 8]).filling(1200);
            let answers = [answer, short(false, 60)];
            let answers = answers.map(|payload| udp(FRONT, CLIENT).payload(payload).frame());
            for frames in [
                [hello, answers[0].clone()],
                [to_front(CLIENT), answers[1].clone()],
            ] {
                let [there, back] = frames;
                match inward {
                    "stoq_uplink" => machine.uplink(&there),
                    _ => machine.uplink_in(&there),
                };
                machine.tc("stoq_uplink_out", &back, Train::default());
            }
            let flow = machine.flow(&key()).unwrap();
            assert_eq!((flow.endpoint, flow.state), (4, state::ESTABLISHED));
            assert_ne!(flow.flags & flag::FRONT_END, 0);
            assert_eq!(machine.counted(0), Counters::default());
            let mut spent = variants().into_iter();
            let spent = spent.find(|(name, _)| *name == "no_packets_left");
            machine.set_budgets(&spent.unwrap().1);
            assert_eq!(both(&mut machine, &to_front(CLIENT)), [Verdict::Pass; 2]);
            assert_eq!(both(&mut machine, &to_front(STRANGER)), [Verdict::Drop; 2]);
        });
    }
}

#[test]
fn a_flow_that_a_pod_has_is_left_to_the_pod() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&tracked(node()));
        let direct = udp(CLIENT, SERVER).payload(initial().filling(1200)).frame();
        machine.pod_in(&direct);
        let before = machine.flow(&key()).unwrap();
        let answer = udp(FRONT, CLIENT).payload(short(false, 60)).frame();
        assert_eq!(machine.uplink(&to_front(CLIENT)), Verdict::Pass);
        machine.tc("stoq_uplink_out", &answer, Train::default());
        assert_eq!(machine.flow(&key()).unwrap(), before);
    });
}

#[test]
fn a_monitor_counts_where_sources_are_still_themselves() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        machine.fill(&tracked(node_with(|policy| policy.mode = mode::MONITOR)));
        assert_eq!(both(&mut machine, &to_front(DENIED)), [Verdict::Pass; 2]);
        let would_drop = machine.counted(0).would_drop;
        assert_eq!(
            would_drop[Hook::Uplink as usize][Reason::Denied as usize],
            2
        );
    });
}

#[test]
fn a_monitor_and_a_transport_without_xdp_leave_it_to_the_pod() {
    in_scratch(|scratch| {
        let mut machine = Machine::load(scratch);
        let monitor = node_with(|policy| policy.mode = mode::MONITOR);
        let mut alone = node();
        let endpoints = alone.endpoints.values_mut();
        endpoints.for_each(|one| one.flags |= endpoint_flag::POD_ALONE);
        for node in [monitor, alone] {
            machine.fill(&node);
            assert_eq!(machine.uplink(&to_front(DENIED)), Verdict::Pass);
            assert_eq!(machine.counted(0), Counters::default());
        }
    });
}
