//! Packets still addressed to a front end, of flows that were admitted to a pod of this node.

use stoq_ebpf::tables::DesiredFrontEnd;

use super::*;

/// The node's address and a port that lead to [`SERVER`].
const FRONT: &str = "192.0.2.1:30443";
/// The same of the other transport.
const OTHER_FRONT: &str = "192.0.2.1:30444";

/// The node whose endpoint has a front end.
fn desired() -> Desired {
    let mut desired = super::desired();
    desired.transports[0].front_ends = vec![front_end(30443)];
    desired
}

fn front_end(port: u16) -> DesiredFrontEnd {
    DesiredFrontEnd {
        addr: "192.0.2.1".parse().unwrap(),
        port,
        pod_port: 4433,
        quic: true,
        pod_alone: false,
        tracked: false,
    }
}

/// A second endpoint with a socket, of the same transport or of another.
fn second(last: u8) -> DesiredEndpoint {
    DesiredEndpoint {
        addr: [10, 0, 0, last].into(),
        owner: last.into(),
        ..super::desired().transports[0].endpoints[0]
    }
}

fn frame(destination: &str) -> Vec<u8> {
    udp(CLIENT, destination).payload(short(false, 700)).frame()
}

/// Frames of an admitted flow to this destination go to the host, though a socket is there.
fn assert_left_to_the_host(node: &mut Node, receiver: &mut Receiver, destination: &str) {
    let before = packets_out_of(&node.relay);
    node.take_in(&frame(destination), 32);
    node.wait_for_host(before, 32);
    assert_eq!(receiver.receive(32, |_| ()), 0);
    assert_eq!(node.observed(), 0, "the pod's interface does that");
}

#[test]
fn an_admitted_flow_reaches_the_socket_as_it_came_and_counts_at_its_pod() {
    in_scratch(|scratch| {
        let mut node = Node::of(scratch, &desired());
        let mut receiver = node.receiver();
        node.admit(u64::MAX);
        let frame = frame(FRONT);
        node.take_in(&frame, 48);
        let got = receive(&mut receiver, 48);
        assert_eq!(got.len(), 48, "{:?}", receiver.statistics());
        for bytes in got {
            assert_eq!(bytes[..6], RELAY_MAC);
            assert_eq!(bytes[6..], frame[6..], "the destination too");
        }
        assert_eq!(node.observed(), 48, "once each, at the relay");
        assert_eq!(node.counted(0), 0, "in the endpoint's slot alone");
        let flow = node.flows.get(&node.key(0), 0).unwrap();
        assert_eq!((flow.endpoint, flow.packets), (node.endpoint.id, [48, 0]));
        assert_eq!(node.flows.keys().count(), 1, "none of the front end's");
    });
}

#[test]
fn what_was_not_admitted_goes_to_the_kernel() {
    in_scratch(|scratch| {
        let mut node = Node::of(scratch, &desired());
        let mut receiver = node.receiver();
        node.take_in(&frame(FRONT), 16);
        node.admit(1);
        node.take_in(&frame(FRONT), 16);
        node.admit(u64::MAX);
        let stranger = udp("192.0.2.77:1", FRONT).payload(short(false, 700));
        node.take_in(&stranger.frame(), 16);
        node.take_in(&frame("192.0.2.1:4433"), 16);
        node.take_in(&frame(FRONT), 16);
        assert_eq!(receive(&mut receiver, 16).len(), 16);
        assert_eq!(receiver.counts().packets, 16, "the last alone");
        assert_eq!(receiver.receive(1, |_| ()), 0);
    });
}

#[test]
fn with_no_socket_behind_the_relay_it_goes_to_the_host() {
    in_scratch(|scratch| {
        let mut node = Node::of(scratch, &desired());
        drop(node.receiver());
        node.admit(u64::MAX);
        let before = packets_out_of(&node.relay);
        node.take_in(&frame(FRONT), 32);
        node.wait_for_host(before, 32);
        assert_eq!(node.observed(), 0, "the pod's interface does that");
    });
}

#[test]
fn an_endpoint_that_is_no_longer_steered_gets_nothing_though_another_is() {
    in_scratch(|scratch| {
        let mut desired = desired();
        desired.transports[0].endpoints.push(second(2));
        let mut node = Node::of(scratch, &desired);
        let mut receiver = node.receiver();
        node.admit(u64::MAX);
        desired.transports[0].endpoints[0].steered = false;
        node.tables.apply(&desired).unwrap();
        assert_left_to_the_host(&mut node, &mut receiver, FRONT);
    });
}

#[test]
fn a_flow_of_a_pod_that_has_gone_reaches_no_one_else_s_socket() {
    in_scratch(|scratch| {
        let mut desired = desired();
        desired.transports[0].endpoints.push(second(2));
        let mut node = Node::of(scratch, &desired);
        let mut receiver = node.receiver();
        node.admit(u64::MAX);
        // Another pod has its address and a socket now, and its relay is still there.
        desired.transports[0].endpoints[0].owner = 77;
        let applied = node.tables.apply(&desired).unwrap();
        let relay = Relay {
            endpoint: applied.transports[0].endpoints[0].id,
            ..node.relay.clone()
        };
        let socket = Socket::from(receiver.as_fd().try_clone_to_owned().unwrap());
        node.steering.connect(&relay, &socket).unwrap();
        assert_left_to_the_host(&mut node, &mut receiver, FRONT);
    });
}

#[test]
fn a_flow_of_one_transport_reaches_no_socket_of_another_s_endpoint() {
    in_scratch(|scratch| {
        let mut desired = desired();
        desired.transports.push(DesiredTransport {
            name: "default/other".to_owned(),
            endpoints: vec![second(2)],
            front_ends: vec![front_end(30444)],
            ..desired.transports[0].clone()
        });
        let mut node = Node::of(scratch, &desired);
        let mut receiver = node.receiver();
        // As when the id of its own endpoint was given to this one.
        node.admit_of(1, u64::MAX);
        assert_left_to_the_host(&mut node, &mut receiver, OTHER_FRONT);
    });
}
