use k8s_openapi::api::core::v1::{Node, Service as ApiService};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::*;
use crate::fixture::{at, name, object, on, pod, report, yaml};

const STALE: Duration = Duration::from_secs(180);

/// Takes the events in at this second; the transports they concern.
fn take(index: &mut Index, second: i64, news: Vec<News>) -> Vec<String> {
    for one in news {
        index.take(one, at(second), STALE);
    }
    let changed = index.changed();
    changed
        .transports
        .iter()
        .map(|one| one.name.clone())
        .collect()
}

fn two_transports() -> Index {
    let mut index = Index::default();
    let news = vec![
        News::Transport(Event::Apply(object("d/edge", 4433))),
        News::Transport(Event::Apply(object("d/web", 4434))),
        News::Pod(Event::Apply(pod("edge-0", "edge", "n1"))),
        News::Pod(Event::Apply(pod("web-0", "web", "n2"))),
    ];
    assert_eq!(take(&mut index, 0, news), ["edge", "web"]);
    index
}

fn ready(index: &Index, transport: &str) -> String {
    let known = index.transport(&name(transport)).unwrap();
    let status = index.status(known, at(0));
    let mut conditions = status.conditions.iter();
    let ready = conditions.find(|one| one.type_ == "Ready").unwrap();
    format!(
        "{} {}",
        ready.status,
        status.summary.map_or_else(String::new, |one| one.nodes)
    )
}

#[test]
fn a_report_concerns_only_the_transports_of_which_it_says_something_new() {
    let mut index = two_transports();
    let both = format!("{}, {}", on("edge"), on("web"));
    let heard = |second, transports: &str| {
        vec![News::Report(Event::Apply(report("n1", second, transports)))]
    };
    assert_eq!(take(&mut index, 1, heard(1, &both)), ["edge"]);
    assert_eq!(take(&mut index, 2, heard(2, &both)), [""; 0]);
    let other = format!("{}, {}", on("edge").replace("Native", "Tcx"), on("web"));
    assert_eq!(take(&mut index, 3, heard(3, &other)), ["edge"]);
    assert_eq!(
        (ready(&index, "d/edge"), ready(&index, "d/web")),
        ("True 1/1".into(), "Unknown 0/1".into())
    );
}

#[test]
fn an_agent_that_falls_silent_is_not_believed_until_it_reports_again() {
    let mut index = two_transports();
    let heard = |second| {
        vec![News::Report(Event::Apply(report(
            "n1",
            second,
            &on("edge"),
        )))]
    };
    take(&mut index, 1, heard(1));
    index.listen(at(181), STALE);
    assert_eq!(take(&mut index, 181, vec![]), [""; 0]);
    index.listen(at(182), STALE);
    assert_eq!(take(&mut index, 182, vec![]), ["edge"]);
    assert_eq!(ready(&index, "d/edge"), "Unknown 0/1");
    // The same report, listed anew, is no sign of life.
    assert_eq!(take(&mut index, 200, heard(1)), [""; 0]);
    assert_eq!(take(&mut index, 201, heard(200)), ["edge"]);
    assert_eq!(ready(&index, "d/edge"), "True 1/1");
}

#[test]
fn a_report_from_long_before_us_is_silence() {
    let mut index = two_transports();
    take(
        &mut index,
        300,
        vec![News::Report(Event::Apply(report("n1", 1, &on("edge"))))],
    );
    assert_eq!(ready(&index, "d/edge"), "Unknown 0/1");
}

#[test]
fn a_pod_that_moves_or_ends_takes_its_node_along() {
    let mut index = two_transports();
    let moved = vec![News::Pod(Event::Apply(pod("edge-0", "edge", "n3")))];
    assert_eq!(take(&mut index, 1, moved), ["edge"]);
    let nodes = |index: &Index| {
        let known = index.transport(&name("d/edge")).unwrap();
        index
            .status(known, at(0))
            .failures
            .iter()
            .map(|one| one.node.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(nodes(&index), ["n3"]);
    let other = vec![News::Pod(Event::Apply(pod("edge-0", "other", "n3")))];
    assert_eq!(take(&mut index, 2, other), ["edge"]);
    assert_eq!(nodes(&index), [""; 0]);
    let unrelated = vec![News::Pod(Event::Delete(pod("edge-0", "other", "n3")))];
    assert_eq!(take(&mut index, 3, unrelated), [""; 0]);
}

#[test]
fn a_conflict_begins_with_the_second_claim_and_ends_with_the_first() {
    let mut index = two_transports();
    let mut young = object("d/young", 4433);
    young.spec.pod_selector = object("d/edge", 1).spec.pod_selector;
    let apply = vec![News::Transport(Event::Apply(young))];
    assert_eq!(take(&mut index, 1, apply), ["young"]);
    assert_eq!(ready(&index, "d/young"), "False ");
    let gone = vec![News::Transport(Event::Delete(object("d/edge", 4433)))];
    assert_eq!(take(&mut index, 2, gone), ["edge", "young"]);
    assert_eq!(ready(&index, "d/young"), "Unknown 0/1");
}

#[test]
fn a_front_end_of_every_node_spans_all_reports() {
    let mut index = two_transports();
    let service: ApiService = yaml(
        "metadata: {name: edge, namespace: d}\n\
         spec: {ports: [{protocol: UDP, port: 443, nodePort: 30443}]}",
    );
    let slice: EndpointSlice = yaml(
        "addressType: IPv4\n\
         metadata: {name: edge-1, namespace: d, labels: {kubernetes.io/service-name: edge}}\n\
         ports: [{protocol: UDP, port: 4433}]\n\
         endpoints: [{addresses: [10.0.0.1], nodeName: n1, targetRef: {kind: Pod, name: edge-0}}]",
    );
    take(
        &mut index,
        1,
        vec![News::Report(Event::Apply(report("n7", 1, "")))],
    );
    assert_eq!(ready(&index, "d/edge"), "Unknown 0/1");
    let news = vec![
        News::Service(Event::Apply(service)),
        News::Slice(Event::Apply(slice)),
    ];
    assert_eq!(take(&mut index, 2, news), ["edge"]);
    assert_eq!(ready(&index, "d/edge"), "False 0/2");
    let joins = vec![News::Report(Event::Apply(report("n8", 3, "")))];
    assert_eq!(take(&mut index, 3, joins), ["edge"]);
    assert_eq!(ready(&index, "d/edge"), "False 0/3");
}

#[test]
fn labels_are_written_only_where_they_differ() {
    let mut index = Index::default();
    let node =
        |labels: &str| -> Node { yaml(&format!("metadata: {{name: n1, labels: {{{labels}}}}}")) };
    let gates = "gates: [{name: tcx, state: Available}]";
    let able: StoqNode = yaml(&format!(
        "metadata: {{name: n1}}\nspec: {{}}\nstatus: {{reportedAt: '1970-01-01T00:00:01Z', {gates}}}"
    ));
    index.take(News::Node(Event::Apply(node("zone: a"))), at(1), STALE);
    index.take(News::Report(Event::Apply(able)), at(1), STALE);
    assert_eq!(index.changed().labels.len(), 1);
    let wanted = index.labels("n1").unwrap();
    assert_eq!(wanted["stoq.io/tcx"], "true");
    let has = "stoq.io/tcx: 'true', stoq.io/xdp: none, stoq.io/af-xdp: 'false'";
    index.take(News::Node(Event::Apply(node(has))), at(1), STALE);
    assert_eq!(index.labels("n1"), None);
    index.listen(at(500), STALE);
    index.take(News::Node(Event::Apply(node(""))), at(500), STALE);
    assert_eq!(index.labels("n1"), None);
}

#[test]
fn an_older_object_never_replaces_a_newer_one() {
    let applied = |version: &str, port| {
        let mut one = object("d/edge", port);
        one.metadata.resource_version = Some(version.into());
        News::Transport(Event::Apply(one))
    };
    for (version, port) in [("9", 2), ("10", 2), ("11", 2), ("eleven", 2)] {
        let mut index = Index::default();
        take(
            &mut index,
            0,
            vec![applied("10", 1), applied(version, port)],
        );
        let wanted = if version == "9" { 1 } else { port };
        let known = index.transport(&name("d/edge")).unwrap();
        let found = known.parsed.as_ref().unwrap().ports[0].number.get();
        assert_eq!(found, wanted, "{version}");
    }
}

#[test]
fn the_answer_to_a_write_is_about_the_object_that_was_written() {
    let made = |uid: &str, port| {
        let mut one = object("d/edge", port);
        one.metadata.uid = Some(uid.into());
        one
    };
    let mut index = Index::default();
    take(
        &mut index,
        0,
        vec![News::Transport(Event::Apply(made("b", 1)))],
    );
    for (uid, port, expected) in [("a", 2, 1), ("b", 3, 3)] {
        index.wrote(made(uid, port));
        let known = index.transport(&name("d/edge")).unwrap();
        let found = known.parsed.as_ref().unwrap().ports[0].number.get();
        assert_eq!(found, expected, "{uid}");
    }
}
