use serde::de::DeserializeOwned;

use super::*;

fn read<K: DeserializeOwned + Resource>(yaml: &str) -> DeserializeGuard<K> {
    serde_yaml::from_str(yaml).unwrap()
}

fn transport(port: u32) -> DeserializeGuard<StoqTransport> {
    read(&format!(
        "{{metadata: {{namespace: lab, name: edge}}, spec: {{podSelector: {{}}, ports: [{{port: {port}}}]}}}}"
    ))
}

fn pod(name: &str) -> DeserializeGuard<ApiPod> {
    read(&format!(
        "{{metadata: {{namespace: lab, name: {name}}}, status: {{phase: Running, podIP: 10.0.0.1}}}}"
    ))
}

fn map(addresses: &str) -> DeserializeGuard<ConfigMap> {
    read(&format!(
        "{{metadata: {{namespace: s, name: a}}, data: {{addresses: {addresses:?}}}}}"
    ))
}

fn own(paused: bool) -> DeserializeGuard<StoqNode> {
    read(&format!(
        "{{metadata: {{name: n, generation: 3}}, spec: {{paused: {paused}}}}}"
    ))
}

/// Lists of every kind, empty but for these.
fn listed(transports: &[u32], pods: &[&str]) -> Index {
    let mut index = Index::default();
    index.take(Change::Transport(Event::Init));
    for port in transports {
        index.take(Change::Transport(Event::InitApply(transport(*port))));
    }
    index.take(Change::Transport(Event::InitDone));
    for name in pods {
        index.take(Change::Pod(Event::InitApply(pod(name))));
    }
    index.take(Change::Pod(Event::InitDone));
    index.take(Change::Addresses(Event::InitDone));
    index.take(Change::Own(Event::InitDone));
    index
}

fn ports(index: &Index) -> Vec<u16> {
    let objects = index.objects();
    let ports = objects.transports.iter().flat_map(|one| &one.ports);
    ports.map(|port| port.number.get()).collect()
}

#[test]
fn nothing_is_known_before_every_list_is_whole() {
    let mut index = Index::default();
    assert_eq!(index.missing().len(), 4);
    index.take(Change::Transport(Event::Init));
    index.take(Change::Transport(Event::InitApply(transport(1))));
    assert_eq!(index.missing().len(), 4);
    assert!(listed(&[], &[]).missing().is_empty());
}

#[test]
fn a_new_list_takes_the_place_of_the_old_one_at_once() {
    let mut index = listed(&[1], &["a", "b"]);
    index.take(Change::Pod(Event::Init));
    index.take(Change::Pod(Event::InitApply(pod("b"))));
    assert_eq!(index.objects().pods.len(), 2);
    index.take(Change::Pod(Event::InitDone));
    assert_eq!(index.objects().pods.len(), 1);
    assert!(index.missing().is_empty());
}

#[test]
fn an_object_follows_its_changes_until_it_is_deleted() {
    let mut index = listed(&[1], &[]);
    index.take(Change::Transport(Event::Apply(transport(2))));
    assert_eq!(ports(&index), [2]);
    index.take(Change::Transport(Event::Delete(transport(2))));
    assert_eq!(ports(&index), [0; 0]);
}

#[test]
fn only_what_is_kept_and_another_is_news() {
    let mut index = listed(&[1], &["a"]);
    let listed_again = |index: &mut Index, names: &[&str]| {
        let mut news = index.take(Change::Pod(Event::Init));
        for name in names {
            news |= index.take(Change::Pod(Event::InitApply(pod(name))));
        }
        news | index.take(Change::Pod(Event::InitDone))
    };
    assert!(!index.take(Change::Transport(Event::Apply(transport(1)))));
    assert!(index.take(Change::Transport(Event::Apply(transport(2)))));
    assert!(index.take(Change::Transport(Event::Apply(transport(70_000)))));
    assert!(!index.take(Change::Transport(Event::Apply(transport(70_000)))));
    assert!(index.take(Change::Transport(Event::Apply(transport(2)))));
    assert!(!listed_again(&mut index, &["a"]));
    assert!(listed_again(&mut index, &["b"]));
    assert!(index.take(Change::Pod(Event::Delete(pod("b")))));
    assert!(!index.take(Change::Pod(Event::Delete(pod("b")))));
    // The list is known for the first time, though it is empty.
    assert!(Index::default().take(Change::Own(Event::InitDone)));
}

#[test]
fn a_refused_object_names_its_field_and_keeps_its_last_good_state() {
    let mut index = listed(&[1], &[]);
    index.take(Change::Transport(Event::Apply(transport(70_000))));
    let objects = index.objects();
    assert_eq!(
        objects.problems[0].to_string(),
        "API server: StoqTransport lab/edge: spec.ports[0].port: must be 1..65535; \
         its last good state stays in force"
    );
    assert_eq!(ports(&index), [1]);
    // Also where it is listed anew.
    index.take(Change::Transport(Event::Init));
    index.take(Change::Transport(Event::InitApply(transport(70_000))));
    index.take(Change::Transport(Event::InitDone));
    assert_eq!(ports(&index), [1]);
    index.take(Change::Transport(Event::Apply(transport(3))));
    assert_eq!(
        (ports(&index), index.objects().problems.len()),
        (vec![3], 0)
    );
}

#[test]
fn what_cannot_be_read_at_all_stops_no_other() {
    let mut index = listed(&[1], &[]);
    let strange =
        read("{metadata: {namespace: lab, name: new}, spec: {podSelector: {}, ports: many}}");
    index.take(Change::Transport(Event::Apply(strange)));
    assert_eq!(ports(&index), [1]);
    let problem = index.objects().problems[0].to_string();
    assert!(problem.contains("StoqTransport lab/new: "), "{problem}");
    assert!(!problem.contains("last good"), "{problem}");
}

#[test]
fn a_transport_is_refused_by_its_condition_as_it_is_now() {
    // type, status, reason, the generation it is about
    for (kind, status, reason, generation, refused) in [
        ("Accepted", "False", "Conflict", 2, true),
        ("Accepted", "False", "Conflict", 1, false),
        ("Accepted", "False", "Invalid", 2, false),
        ("Accepted", "True", "Accepted", 2, false),
        ("Ready", "False", "Conflict", 2, false),
    ] {
        let told: DeserializeGuard<StoqTransport> = read(&format!(
            "{{metadata: {{namespace: lab, name: edge, generation: 2}}, \
             spec: {{podSelector: {{}}, ports: [{{port: 1}}]}}, \
             status: {{conditions: [{{type: {kind}, status: '{status}', reason: {reason}, \
             observedGeneration: {generation}, message: lost, \
             lastTransitionTime: '2026-01-01T00:00:00Z'}}]}}}}"
        ));
        let told = DeserializeGuard(told.0.map(crate::cluster::cache::kept_transport));
        let mut index = listed(&[], &[]);
        index.take(Change::Transport(Event::Apply(told)));
        let found = index.objects().refused;
        let words: Vec<_> = found.values().map(String::as_str).collect();
        let expected = if refused { &["lost"][..] } else { &[] };
        assert_eq!(words, expected, "{kind}={status} {reason} of {generation}");
    }
}

#[test]
fn node_addresses_are_one_a_line() {
    let mut index = listed(&[], &[]);
    index.take(Change::Addresses(Event::Apply(map("10.0.0.1\nfd00::1\n"))));
    let found = index.objects().node_addresses;
    let expected = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    assert_eq!(found, BTreeSet::from(expected));
    index.take(Change::Addresses(Event::Apply(map("10.0.0.1\nnode-b\n"))));
    let objects = index.objects();
    assert_eq!(objects.node_addresses, found);
    let problem = objects.problems[0].to_string();
    assert!(problem.contains("has \"node-b\""), "{problem}");
}

#[test]
fn the_node_is_paused_while_its_stoqnode_says_so() {
    let mut index = listed(&[], &[]);
    for (change, paused, generation) in [
        (None, false, None),
        (Some(Event::Apply(own(true))), true, Some(3)),
        (Some(Event::Apply(own(false))), false, Some(3)),
        (Some(Event::Apply(own(true))), true, Some(3)),
        (Some(Event::Delete(own(true))), false, None),
    ] {
        if let Some(event) = change {
            index.take(Change::Own(event));
        }
        let objects = index.objects();
        assert_eq!(
            (objects.paused, objects.node_generation),
            (paused, generation)
        );
    }
}
