use std::net::IpAddr;

use stoq_ebpf_abi::maps::{ENDPOINTS, cidr_flag, endpoint_flag};

use super::*;
use crate::tables::desired::{DesiredEndpoint, DesiredFrontEnd, Mode, PolicySpec};

mod front_ends;

fn endpoint(last: u16, owner: u64) -> DesiredEndpoint {
    let [high, low] = last.to_be_bytes();
    DesiredEndpoint {
        addr: IpAddr::from([10, 0, high, low]),
        port: 4433,
        quic: true,
        uplink: false,
        pod_alone: false,
        steered: false,
        owner,
    }
}

fn transport(name: &str, endpoints: &[DesiredEndpoint]) -> DesiredTransport {
    DesiredTransport {
        name: name.to_owned(),
        policy: PolicySpec::default(),
        per_pod_counters: false,
        endpoints: endpoints.to_vec(),
        front_ends: Vec::new(),
    }
}

fn desired(transports: &[DesiredTransport]) -> Desired {
    Desired {
        transports: transports.to_vec(),
        nodes: Vec::new(),
    }
}

/// What the maps hold when the steps are done; each step is checked against their limits.
fn after(observed: &Observed, steps: &[Step]) -> Observed {
    let mut now = observed.clone();
    for step in steps {
        do_step(&mut now, step);
        assert!(now.endpoints.len() <= ENDPOINTS as usize);
        assert!(now.nodes.len() <= NODES as usize);
    }
    now.endpoints.sort_by_key(|(key, _)| (key.addr, key.port));
    now.cidrs.retain(|_, cidrs| !cidrs.is_empty());
    now
}

fn do_step(now: &mut Observed, step: &Step) {
    match *step {
        Step::ZeroCounters(_) | Step::ClearActivity(_) | Step::PutAddress(..) => {}
        Step::ZeroHistograms(slot) => _ = now.histograms.insert(slot),
        Step::Name(index, ref name) => {
            let name = crate::tables::observed::decode_name(name).unwrap();
            assert_eq!(now.transports.insert(index, name), None);
        }
        Step::PutCidr(index, net, flags) => {
            now.cidrs.entry(index).or_default().insert(net, flags);
        }
        Step::PutPolicy(index, policy) => _ = now.policies.insert(index, policy),
        Step::PutNode(addr) => assert!(now.nodes.insert(addr)),
        Step::PutEndpoint(key, value) => {
            now.endpoints.retain(|(known, _)| *known != key);
            now.endpoints.push((key, value));
        }
        Step::RemoveEndpoint(key) => now.endpoints.retain(|(known, _)| *known != key),
        Step::ClearPolicy(index) => _ = now.policies.remove(&index),
        Step::RemoveCidr(index, net) => {
            assert!(now.cidrs.get_mut(&index).unwrap().remove(&net).is_some())
        }
        Step::RemoveHistograms(slot) => assert!(now.histograms.remove(&slot)),
        Step::ClearName(index) => assert!(now.transports.remove(&index).is_some()),
        Step::RemoveNode(addr) => assert!(now.nodes.remove(&addr)),
    }
}

/// Applies a desired state, as [`crate::tables::Tables::apply`] does.
fn apply(observed: &Observed, desired: &Desired) -> (Observed, Applied) {
    let first = plan(observed, desired);
    let again = first.wants_another();
    let now = after(observed, &first.steps);
    if !again {
        return (now, first.applied);
    }
    let second = plan(&now, desired);
    (after(&now, &second.steps), second.applied)
}

#[test]
fn what_is_in_force_is_not_written_again() {
    let mut edge = transport("default/edge", &[endpoint(1, 7), endpoint(2, 8)]);
    edge.per_pod_counters = true;
    edge.policy.deny = vec!["203.0.113.0/24".parse().unwrap()];
    let mut desired = desired(&[edge, transport("default/other", &[endpoint(3, 9)])]);
    desired.nodes = vec!["192.0.2.1".parse().unwrap()];
    let (now, applied) = apply(&Observed::default(), &desired);
    let again = plan(&now, &desired);
    assert_eq!(again.steps, []);
    assert_eq!(again.applied.transports, applied.transports);
}

#[test]
fn everything_goes_when_nothing_is_desired() {
    let mut edge = transport("default/edge", &[endpoint(1, 7)]);
    edge.per_pod_counters = true;
    edge.policy.deny = vec!["203.0.113.0/24".parse().unwrap()];
    let mut desired = desired(&[edge]);
    desired.nodes = vec!["192.0.2.1".parse().unwrap()];
    let (now, _) = apply(&Observed::default(), &desired);
    let (now, _) = apply(&now, &Desired::default());
    assert_eq!(now, Observed::default());
}

#[test]
fn a_new_transport_is_complete_before_its_endpoints_are_there() {
    let mut edge = transport("default/edge", &[endpoint(1, 7)]);
    edge.per_pod_counters = true;
    edge.policy.mode = Mode::Enforce;
    edge.policy.deny = vec!["203.0.113.0/24".parse().unwrap()];
    let planned = plan(&Observed::default(), &desired(&[edge.clone()]));
    let net: IpNet = "203.0.113.0/24".parse().unwrap();
    let policy = policy::encode(&edge.policy, &cidr::fold(&edge.policy));
    let key = EndpointKey {
        addr: to_wire("10.0.0.1".parse().unwrap()),
        port: 4433,
    };
    let value = Endpoint {
        transport: 0,
        id: 7,
        slot: 256,
        flags: endpoint_flag::QUIC,
        owner: 7,
        port: 4433,
        pad: 0,
    };
    let expected = [
        Step::ZeroCounters(0),
        Step::ZeroCounters(256),
        Step::ZeroHistograms(0),
        Step::ZeroHistograms(256),
        Step::Name(0, encode_name("default/edge").unwrap().into()),
        Step::ClearActivity(7),
        Step::PutAddress(7, key.addr),
        Step::PutCidr(0, net, cidr_flag::DENY | cidr_flag::ALLOW),
        Step::PutPolicy(0, policy),
        Step::PutEndpoint(key, value),
    ];
    assert_eq!(planned.steps, expected);
}

#[test]
fn a_policy_change_is_one_write() {
    let mut edge = transport("default/edge", &[endpoint(1, 7)]);
    let (now, _) = apply(&Observed::default(), &desired(&[edge.clone()]));
    edge.policy.mode = Mode::Enforce;
    edge.policy.validate_initial = true;
    let policy = policy::encode(&edge.policy, &Cidrs::new());
    assert_eq!(
        plan(&now, &desired(&[edge])).steps,
        [Step::PutPolicy(0, policy)]
    );
}

#[test]
fn cidrs_come_before_the_policy_that_reads_them_and_go_after_it() {
    let mut edge = transport("default/edge", &[]);
    edge.policy.deny = vec!["10.0.0.0/8".parse().unwrap()];
    let (now, _) = apply(&Observed::default(), &desired(&[edge.clone()]));
    edge.policy.deny = Vec::new();
    edge.policy.allow = vec!["2001:db8::/32".parse().unwrap()];
    let steps = plan(&now, &desired(&[edge])).steps;
    assert!(
        matches!(
            steps[..],
            [Step::PutCidr(..), Step::PutPolicy(..), Step::RemoveCidr(..)]
        ),
        "{steps:?}"
    );
}

#[test]
fn numbers_stay_with_their_owners() {
    let a = transport("default/a", &[endpoint(1, 7)]);
    let b = transport("default/b", &[endpoint(2, 8)]);
    let (now, first) = apply(&Observed::default(), &desired(&[a.clone(), b.clone()]));
    let c = transport("default/c", &[endpoint(3, 7)]);
    let (now, second) = apply(&now, &desired(&[c.clone(), b.clone()]));
    assert_eq!(
        first.transports[1], second.transports[1],
        "b stays while a goes and c comes"
    );
    assert_eq!(
        second.transports[0].index,
        Some(2),
        "the number of a is free only when a is gone"
    );
    let (_, third) = apply(&now, &desired(&[b, a, c]));
    assert_eq!(third.transports[0], first.transports[1]);
    assert_eq!(third.transports[1].index, Some(0));
    assert_eq!(third.transports[2], second.transports[0]);
}

#[test]
fn another_pod_at_the_same_address_is_another_endpoint() {
    let (now, before) = apply(
        &Observed::default(),
        &desired(&[transport("default/a", &[endpoint(1, 7)])]),
    );
    let (_, after) = apply(&now, &desired(&[transport("default/a", &[endpoint(1, 8)])]));
    assert_ne!(
        before.transports[0].endpoints[0].id,
        after.transports[0].endpoints[0].id
    );
}

#[test]
fn an_endpoint_that_moves_to_another_transport_is_never_absent() {
    let a = transport("default/a", &[endpoint(1, 7)]);
    let b = transport("default/b", &[endpoint(1, 7)]);
    let (now, _) = apply(&Observed::default(), &desired(&[a]));
    let steps = plan(&now, &desired(&[b])).steps;
    assert!(
        steps
            .iter()
            .any(|s| matches!(s, Step::PutEndpoint(_, e) if e.transport == 1))
    );
    assert!(!steps.iter().any(|s| matches!(s, Step::RemoveEndpoint(_))));
}

#[test]
fn the_first_transport_keeps_an_endpoint_that_two_desire() {
    let a = transport("default/a", &[endpoint(1, 7)]);
    let b = transport("default/b", &[endpoint(1, 7), endpoint(2, 8)]);
    let (_, applied) = apply(&Observed::default(), &desired(&[a, b]));
    let [a, b] = &applied.transports[..] else {
        panic!()
    };
    assert_eq!((a.endpoints.len(), a.refusals.len()), (1, 0));
    assert_eq!(b.endpoints.len(), 1);
    assert_eq!(
        b.refusals[0].to_string(),
        "endpoint 10.0.0.1 port 4433: taken by default/a"
    );
}

#[test]
fn counters_of_its_own_come_and_go_without_a_new_id() {
    let mut edge = transport("default/edge", &[endpoint(1, 7)]);
    let (now, shared) = apply(&Observed::default(), &desired(&[edge.clone()]));
    edge.per_pod_counters = true;
    let (now, own) = apply(&now, &desired(&[edge.clone()]));
    edge.per_pod_counters = false;
    let (now, back) = apply(&now, &desired(&[edge]));
    let slots = |applied: &Applied| applied.transports[0].slots().collect::<Vec<_>>();
    assert_eq!(
        (slots(&shared), slots(&own), slots(&back)),
        (vec![0], vec![0, 256], vec![0])
    );
    let ids = [&shared, &own, &back].map(|applied| applied.transports[0].endpoints[0].id);
    assert_eq!(ids, [7; 3]);
    assert_eq!(now.histograms, BTreeSet::from([0]));
}

#[test]
fn a_slot_that_is_used_again_starts_from_zero() {
    let mut edge = transport("default/edge", &[endpoint(1, 7)]);
    edge.per_pod_counters = true;
    let (now, _) = apply(&Observed::default(), &desired(&[edge.clone()]));
    let (now, _) = apply(&now, &desired(&[transport("default/edge", &[])]));
    let steps = plan(&now, &desired(&[edge])).steps;
    assert!(
        steps.starts_with(&[Step::ZeroCounters(256), Step::ZeroHistograms(256)]),
        "{steps:?}"
    );
}

#[test]
fn what_a_crash_left_is_tidied_up() {
    let leftover = Observed {
        policies: BTreeMap::from([(3, policy::encode(&PolicySpec::default(), &Cidrs::new()))]),
        cidrs: BTreeMap::from([(3, Cidrs::from([("10.0.0.0/8".parse().unwrap(), 1)]))]),
        histograms: BTreeSet::from([3, 300]),
        ..Observed::default()
    };
    let (now, _) = apply(&leftover, &Desired::default());
    assert_eq!(now, Observed::default());
}

#[test]
fn lost_histograms_are_made_again() {
    let wanted = desired(&[transport("default/edge", &[endpoint(1, 7)])]);
    let (mut now, _) = apply(&Observed::default(), &wanted);
    now.histograms.clear();
    assert_eq!(plan(&now, &wanted).steps, [Step::ZeroHistograms(0)]);
}

mod limits {
    use super::*;

    #[test]
    fn one_transport_too_many_is_refused_and_the_rest_applied() {
        let names: Vec<_> = (0..=TRANSPORTS)
            .map(|n| transport(&format!("default/t{n}"), &[]))
            .collect();
        let (now, applied) = apply(&Observed::default(), &desired(&names));
        assert_eq!(now.transports.len(), TRANSPORTS as usize);
        let (last, rest) = applied.transports.split_last().unwrap();
        assert!(
            rest.iter()
                .all(|t| t.index.is_some() && t.refusals.is_empty())
        );
        assert_eq!(last.refusals, [Refusal::Transports { limit: TRANSPORTS }]);
        // One goes: its number is given out in the same go.
        let (_, applied) = apply(&now, &desired(&names[1..]));
        assert_eq!(applied.transports.last().unwrap().index, Some(0));
    }

    #[test]
    fn one_endpoint_too_many_is_refused_and_the_rest_applied() {
        let endpoints: Vec<_> = (0..=ENDPOINTS as u16)
            .map(|n| endpoint(n, n.into()))
            .collect();
        let (now, applied) = apply(
            &Observed::default(),
            &desired(&[transport("default/a", &endpoints)]),
        );
        assert_eq!(now.endpoints.len(), ENDPOINTS as usize);
        assert!(matches!(
            applied.transports[0].refusals[..],
            [Refusal::Endpoints {
                limit: ENDPOINTS,
                ..
            }]
        ));
        let (_, applied) = apply(&now, &desired(&[transport("default/a", &endpoints[1..])]));
        assert_eq!(applied.transports[0].refusals, []);
        assert_eq!(applied.transports[0].endpoints.len(), ENDPOINTS as usize);
    }

    #[test]
    fn endpoints_without_a_slot_count_with_their_transport() {
        let endpoints: Vec<_> = (0..800).map(|n| endpoint(n, n.into())).collect();
        let mut edge = transport("default/edge", &endpoints);
        edge.per_pod_counters = true;
        let (_, applied) = apply(&Observed::default(), &desired(&[edge]));
        let edge = &applied.transports[0];
        assert_eq!((edge.endpoints.len(), edge.slots().count()), (800, 1 + 768));
        assert_eq!(edge.refusals.len(), 800 - 768);
        assert!(matches!(
            edge.refusals[0],
            Refusal::Slots { limit: 768, .. }
        ));
    }

    #[test]
    fn cidrs_that_do_not_fit_leave_the_last_policy_in_force() {
        let mut edge = transport("default/edge", &[endpoint(1, 7)]);
        edge.policy.deny = nets(10, 1);
        let (mut now, _) = apply(&Observed::default(), &desired(&[edge.clone()]));
        // Another transport fills the table.
        let mut other = transport("default/other", &[]);
        other.policy.deny = nets(11, 65_500);
        let wanted = desired(&[edge.clone(), other.clone()]);
        now = apply(&now, &wanted).0;
        edge.policy.deny = nets(12, 100);
        let wanted = desired(&[edge, other]);
        let planned = plan(&now, &wanted);
        assert_eq!(planned.steps, []);
        let refused = Refusal::Cidrs {
            family: Family::V4,
            needed: 100,
            room: 65_535 - 65_501,
        };
        assert_eq!(planned.applied.transports[0].refusals, [refused]);
        assert_eq!(planned.applied.transports[0].endpoints.len(), 1);
    }

    fn nets(first: u8, count: u32) -> Vec<IpNet> {
        let base = u32::from_be_bytes([first, 0, 0, 0]);
        let addrs = (base..base + count).map(|bits| IpAddr::from(bits.to_be_bytes()));
        addrs.map(IpNet::from).collect()
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let (_, applied) = apply(
            &Observed::default(),
            &desired(&[transport("", &[endpoint(1, 7)])]),
        );
        assert_eq!(applied.transports[0].index, None);
        assert_eq!(
            applied.transports[0].refusals[0].to_string(),
            "name \"\": not between 1 and 320 bytes"
        );
    }

    #[test]
    fn nodes_beyond_the_limit_are_counted() {
        let nodes = |range: std::ops::Range<u32>| Desired {
            nodes: range.map(|n| IpAddr::from(n.to_be_bytes())).collect(),
            ..Desired::default()
        };
        let (now, applied) = apply(&Observed::default(), &nodes(1..NODES + 3));
        assert_eq!(
            (now.nodes.len(), applied.nodes_left_out),
            (NODES as usize, 2)
        );
        let (now, applied) = apply(&now, &nodes(3..NODES + 3));
        assert_eq!(
            (now.nodes.len(), applied.nodes_left_out),
            (NODES as usize, 0)
        );
    }
}
