//! Front ends beside endpoints.

use super::*;

fn front_end(addr: &str, port: u16) -> DesiredFrontEnd {
    DesiredFrontEnd {
        addr: addr.parse().unwrap(),
        port,
        pod_port: 4433,
        quic: true,
        pod_alone: false,
        tracked: false,
    }
}

/// With one endpoint behind its front ends.
fn edge(front_ends: &[DesiredFrontEnd]) -> DesiredTransport {
    DesiredTransport {
        front_ends: front_ends.to_vec(),
        ..transport("default/edge", &[endpoint(1, 7)])
    }
}

fn entry(now: &Observed, addr: &str, port: u32) -> Option<Endpoint> {
    let addr = to_wire(addr.parse().unwrap());
    let key = EndpointKey { addr, port };
    let mut entries = now.endpoints.iter();
    entries
        .find(|(known, _)| *known == key)
        .map(|(_, entry)| *entry)
}

#[test]
fn a_front_end_has_an_id_of_its_own_and_counts_with_its_transport() {
    let mut edge = edge(&[front_end("192.0.2.1", 30443)]);
    edge.per_pod_counters = true;
    let (now, applied) = apply(&Observed::default(), &desired(&[edge]));
    let expected = Endpoint {
        transport: 0,
        id: 0,
        slot: 0,
        flags: endpoint_flag::QUIC | endpoint_flag::FRONT_END,
        owner: 0,
        port: 4433,
        pad: 0,
    };
    assert_eq!(entry(&now, "192.0.2.1", 30443), Some(expected));
    let edge = &applied.transports[0];
    assert_eq!((edge.endpoints.len(), edge.refusals.len()), (1, 0));
    assert_eq!(edge.slots().collect::<Vec<_>>(), [0, 256]);
}

#[test]
fn it_is_written_once_and_goes_when_it_is_no_longer_desired() {
    let wanted = desired(&[edge(&[front_end("192.0.2.1", 30443)])]);
    let (now, _) = apply(&Observed::default(), &wanted);
    assert_eq!(plan(&now, &wanted).steps, []);
    let steps = plan(&now, &desired(&[edge(&[])])).steps;
    assert!(matches!(steps[..], [Step::RemoveEndpoint(key)] if key.port == 30443));
}

#[test]
fn another_port_of_the_pods_is_one_write_and_no_new_id() {
    let mut front_end = front_end("192.0.2.1", 30443);
    let (now, _) = apply(&Observed::default(), &desired(&[edge(&[front_end])]));
    let before = entry(&now, "192.0.2.1", 30443).unwrap();
    front_end.pod_port = 4434;
    let steps = plan(&now, &desired(&[edge(&[front_end])])).steps;
    let moved = Endpoint {
        port: 4434,
        ..before
    };
    assert!(
        matches!(steps[..], [Step::PutEndpoint(_, now)] if now == moved),
        "{steps:?}"
    );
}

#[test]
fn it_is_steered_while_an_endpoint_of_its_port_is() {
    for (port, steered, expected) in [
        (4433, true, true),
        (4434, true, false),
        (4433, false, false),
    ] {
        let mut edge = edge(&[front_end("192.0.2.1", 30443)]);
        edge.endpoints.push(DesiredEndpoint {
            port,
            steered,
            ..endpoint(2, 8)
        });
        let (now, _) = apply(&Observed::default(), &desired(&[edge]));
        let flags = entry(&now, "192.0.2.1", 30443).unwrap().flags;
        let is = flags & endpoint_flag::STEERED != 0;
        assert_eq!(is, expected, "port {port} steered {steered}");
    }
}

#[test]
fn one_whose_flows_the_uplink_tracks_is_not_steered() {
    let front_end = DesiredFrontEnd {
        tracked: true,
        ..front_end("192.0.2.1", 30443)
    };
    let mut edge = edge(&[front_end]);
    edge.endpoints[0].steered = true;
    let (now, _) = apply(&Observed::default(), &desired(&[edge]));
    let flags = endpoint_flag::QUIC | endpoint_flag::UPLINK | endpoint_flag::FRONT_END;
    assert_eq!(entry(&now, "192.0.2.1", 30443).unwrap().flags, flags);
}

#[test]
fn one_left_to_the_pods_interfaces_says_so() {
    let front_end = DesiredFrontEnd {
        pod_alone: true,
        quic: false,
        ..front_end("2001:db8::1", 30443)
    };
    let (now, _) = apply(&Observed::default(), &desired(&[edge(&[front_end])]));
    let flags = endpoint_flag::POD_ALONE | endpoint_flag::FRONT_END;
    assert_eq!(entry(&now, "2001:db8::1", 30443).unwrap().flags, flags);
}

#[test]
fn the_address_of_a_new_id_is_written_before_the_endpoint_and_of_a_front_end_not_at_all() {
    let wanted = desired(&[edge(&[front_end("192.0.2.1", 30443)])]);
    let steps = plan(&Observed::default(), &wanted).steps;
    let addresses: Vec<_> = { steps.iter() }
        .filter(|step| matches!(step, Step::PutAddress(..)))
        .collect();
    let addr = to_wire("10.0.0.1".parse().unwrap());
    assert_eq!(addresses, [&Step::PutAddress(7, addr)]);
    let at = |is: fn(&Step) -> bool| steps.iter().position(is).unwrap();
    assert!(
        at(|step| matches!(step, Step::PutAddress(..)))
            < at(|step| matches!(step, Step::PutEndpoint(..)))
    );
}

#[test]
fn an_address_that_becomes_a_pods_own_is_another_entry_and_never_absent() {
    // As of a pod with the host's network, on the port that was the Service's.
    let front_end = front_end("10.0.0.2", 4433);
    let (now, _) = apply(&Observed::default(), &desired(&[edge(&[front_end])]));
    let before = entry(&now, "10.0.0.2", 4433).unwrap();
    let pods = transport("default/edge", &[endpoint(1, 7), endpoint(2, 8)]);
    let steps = plan(&now, &desired(std::slice::from_ref(&pods))).steps;
    assert!(
        steps
            .iter()
            .all(|step| !matches!(step, Step::RemoveEndpoint(_)))
    );
    let (now, _) = apply(&now, &desired(&[pods]));
    let after = entry(&now, "10.0.0.2", 4433).unwrap();
    assert_ne!(before.id, after.id);
    assert_eq!((after.flags, after.owner), (endpoint_flag::QUIC, 8));
}

#[test]
fn what_is_an_endpoint_of_the_transport_itself_is_no_front_end_and_no_refusal() {
    let edge = edge(&[front_end("10.0.0.1", 4433)]);
    let (now, applied) = apply(&Observed::default(), &desired(&[edge]));
    assert_eq!(entry(&now, "10.0.0.1", 4433).unwrap().owner, 7);
    assert_eq!(applied.transports[0].refusals, []);
}

#[test]
fn an_endpoint_of_any_transport_comes_before_a_front_end() {
    let first = edge(&[front_end("10.0.0.2", 4433)]);
    let second = transport("default/other", &[endpoint(2, 8)]);
    let (now, applied) = apply(&Observed::default(), &desired(&[first, second]));
    assert_eq!(entry(&now, "10.0.0.2", 4433).unwrap().transport, 1);
    assert_eq!(
        applied.transports[0].refusals[0].to_string(),
        "endpoint 10.0.0.2 port 4433: taken by default/other"
    );
    assert_eq!(applied.transports[1].refusals, []);
}

#[test]
fn the_first_of_two_front_ends_keeps_what_both_desire() {
    let mut other = transport("default/other", &[endpoint(2, 8)]);
    other.front_ends = vec![front_end("192.0.2.1", 30443), front_end("192.0.2.1", 30444)];
    let edge = edge(&[front_end("192.0.2.1", 30443)]);
    let (now, applied) = apply(&Observed::default(), &desired(&[edge, other]));
    assert_eq!(entry(&now, "192.0.2.1", 30443).unwrap().transport, 0);
    assert_eq!(entry(&now, "192.0.2.1", 30444).unwrap().transport, 1);
    assert_eq!(
        applied.transports[1].refusals[0].to_string(),
        "endpoint 192.0.2.1 port 30443: taken by default/edge"
    );
}

#[test]
fn where_there_is_no_room_for_all_front_ends_are_refused() {
    let first = edge(&[front_end("192.0.2.1", 30443)]);
    let endpoints: Vec<_> = (2..=ENDPOINTS as u16)
        .map(|n| endpoint(n, n.into()))
        .collect();
    let second = transport("default/other", &endpoints);
    let wanted = desired(&[first.clone(), second]);
    let (now, applied) = apply(&Observed::default(), &wanted);
    assert!(matches!(
        applied.transports[0].refusals[..],
        [Refusal::Endpoints {
            port: 30443,
            limit: ENDPOINTS,
            ..
        }]
    ));
    assert_eq!(applied.transports[1].refusals, []);
    // One goes, and its room is taken in the same go.
    let fewer = transport("default/other", &endpoints[1..]);
    let (now, applied) = apply(&now, &desired(&[first, fewer]));
    assert_eq!(applied.transports[0].refusals, []);
    assert!(entry(&now, "192.0.2.1", 30443).is_some());
}

#[test]
fn of_a_transport_without_a_number_there_are_none() {
    let unnamed = DesiredTransport {
        name: String::new(),
        ..edge(&[front_end("192.0.2.1", 30443)])
    };
    let (now, applied) = apply(&Observed::default(), &desired(&[unnamed]));
    assert_eq!(now.endpoints, []);
    assert_eq!(applied.transports[0].refusals.len(), 1);
}
