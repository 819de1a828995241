use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::watcher::Event;
use stoq_crds::api::StoqTransport;

use super::*;
use crate::fixture::{at, name, object, on, pod, report, yaml};

const STALE: Duration = Duration::from_secs(180);

/// A controller, and a clock that stands.
struct Play {
    controller: Controller,
    start: Instant,
    millis: u64,
    /// Nodes whose labels can't be written.
    refused: &'static [&'static str],
}

impl Play {
    /// Leads, and has heard that there is nothing.
    fn begin() -> Self {
        let start = Instant::now();
        let metrics = Metrics::new().unwrap();
        let mut play = Self {
            controller: Controller::new(metrics, STALE, start),
            start,
            millis: 0,
            refused: &[],
        };
        play.take(News::Transport(Event::InitDone));
        play.take(News::Report(Event::InitDone));
        play.take(News::Pod(Event::InitDone));
        play.take(News::Service(Event::InitDone));
        play.take(News::Slice(Event::InitDone));
        play.take(News::Node(Event::InitDone));
        play
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.millis)
    }

    fn clock(&self) -> Timestamp {
        at((self.millis / 1000) as i64)
    }

    fn take(&mut self, news: News) {
        let clock = self.clock();
        self.controller.take(Ok(news), clock);
    }

    fn apply(&mut self, transport: StoqTransport) {
        self.take(News::Transport(Event::Apply(transport)));
    }

    fn turn(&mut self) {
        let (now, clock) = (self.now(), self.clock());
        self.controller.turn(true, now, clock);
    }

    /// All that is written now, as `edge True Accepted`; it goes well.
    fn written(&mut self) -> Vec<String> {
        self.turn();
        let mut written = Vec::new();
        while let Some(write) = self.controller.next_write(self.now(), self.clock()) {
            written.push(shown(&write));
            self.end(write);
        }
        written
    }

    fn end(&mut self, write: Write) {
        let outcome = match &write {
            Write::Status(name, status, _) => {
                let known = self.controller.index.transport(name).unwrap();
                let mut object = known.object().clone();
                // As it comes back from the API server.
                let text = serde_yaml::to_string(status).unwrap();
                object.status = Some(yaml(&text));
                Outcome::Status(Box::new(object))
            }
            _ => Outcome::Written,
        };
        let result = match &write {
            Write::Labels(node, _) if self.refused.contains(&&**node) => Err(Failure::Late),
            _ => Ok(outcome),
        };
        let now = self.now();
        self.controller.done(Done { write, result }, now);
    }

    /// What is written from here on within so many seconds.
    fn written_within(&mut self, seconds: u64) -> Vec<String> {
        let mut written = Vec::new();
        for _ in 0..seconds * 20 {
            self.millis += 50;
            written.extend(self.written());
        }
        written
    }
}

fn shown(write: &Write) -> String {
    match write {
        Write::Status(name, status, _) => {
            let said = status.conditions.iter();
            let said = said.map(|one| format!(" {} {}", one.status, one.reason));
            format!("{}{}", name.name, said.collect::<String>())
        }
        Write::Addresses(_) => "addresses".into(),
        Write::Labels(node, _) => format!("labels {node}"),
        Write::Event(event) => format!("event {}", event.0.reason),
    }
}

/// `d/young`, for the pods of `d/edge`.
fn young(port: u16) -> StoqTransport {
    let mut young = object("d/young", port);
    young.spec.pod_selector = object("d/edge", 1).spec.pod_selector;
    young.metadata.creation_timestamp = None;
    young
}

fn edge() -> StoqTransport {
    let mut edge = object("d/edge", 4433);
    edge.metadata.creation_timestamp = Some(Time(at(1)));
    edge
}

/// Two transports of one pod, on two ports; all there is to write is written.
fn two_ports() -> Play {
    let mut play = Play::begin();
    play.take(News::Pod(Event::Apply(pod("edge-0", "edge", "n1"))));
    let both = format!("{}, {}", on("edge"), on("young"));
    play.take(News::Report(Event::Apply(report("n1", 1, &both))));
    play.apply(edge());
    play.apply(young(4434));
    let written = play.written_within(3);
    let young = "young True Accepted True Ready False AsPreferred";
    assert!(written.iter().any(|one| one == young), "{written:?}");
    assert_eq!(play.written_within(3), [""; 0]);
    play
}

#[test]
fn a_new_spec_is_judged_by_new_conflicts_alone() {
    let mut play = two_ports();
    // Found to differ, not written yet.
    let tcx = on("young").replace("Native", "Tcx");
    let both = format!("{}, {tcx}", on("edge"));
    play.take(News::Report(Event::Apply(report("n1", 6, &both))));
    play.turn();
    assert!(play.controller.queue.has_ready());
    play.apply(young(4433));
    let written = play.written_within(2);
    let out = "young False Conflict False Conflict False Conflict";
    assert_eq!(written[0], out, "{written:?}");
}

#[test]
fn a_new_spec_that_a_write_came_back_with_is_judged_without_other_news() {
    let mut play = two_ports();
    let write = Write::Status(name("d/young"), Box::default(), vec![]);
    let result = Ok(Outcome::Status(Box::new(young(4433))));
    let now = play.now();
    play.controller.done(Done { write, result }, now);
    let written = play.written_within(2);
    assert!(
        written[0].starts_with("young False Conflict"),
        "{written:?}"
    );
}

#[test]
fn silence_is_told_without_other_news() {
    let mut play = two_ports();
    play.millis += STALE.as_millis() as u64;
    let written = play.written_within(2);
    assert!(
        written[0].starts_with("edge True Accepted Unknown Silent"),
        "{written:?}"
    );
}

#[test]
fn addresses_are_compared_again_and_again() {
    let mut play = Play::begin();
    assert_eq!(play.written(), ["addresses"]);
    assert_eq!(play.written_within(29), [""; 0]);
    assert_eq!(play.written_within(2), ["addresses"]);
}

#[test]
fn labels_that_are_refused_keep_no_others_waiting() {
    let mut play = Play::begin();
    play.refused = &["n1", "n2", "n3", "n4"];
    play.written();
    for n in 1..=6 {
        let node = yaml(&format!("metadata: {{name: n{n}}}"));
        play.take(News::Node(Event::Apply(node)));
        let able = yaml(&format!(
            "metadata: {{name: n{n}}}\nspec: {{}}\n\
             status: {{reportedAt: '1970-01-01T00:00:01Z', gates: [{{name: tcx, state: Available}}]}}"
        ));
        play.take(News::Report(Event::Apply(able)));
    }
    let labels = |mut written: Vec<String>| {
        written.retain(|one| one.starts_with("labels"));
        written
    };
    let all = (1..=6).map(|n| format!("labels n{n}"));
    assert_eq!(labels(play.written_within(2)), all.collect::<Vec<_>>());
    let again = labels(play.written_within(5));
    // Nobody has told the index that n5 and n6 have theirs; nor is that news.
    assert_eq!(again, ["labels n1", "labels n2", "labels n3", "labels n4"]);
}

#[test]
fn the_time_for_one_status_is_no_other_ones() {
    let mut play = Play::begin();
    play.start -= Duration::from_secs(10);
    play.apply(edge());
    play.written();
    let page = play.controller.metrics.render().unwrap();
    let sum = page.split("stoq_operator_reconcile_seconds_sum ").nth(1);
    let sum: f64 = sum.unwrap().lines().next().unwrap().parse().unwrap();
    assert!(sum > 0.0 && sum < 5.0, "{sum} s");
}

#[test]
fn times_finer_than_can_be_written_are_written_once() {
    let mut play = two_ports();
    let traffic = "traffic: {packetsPerSecond: 1, bitsPerSecond: 1, droppedPerSecond: 0, \
                   connections: 0, sampledAt: '1970-01-01T00:00:05.5Z'}";
    let said = on("edge").replace(
        '}',
        &format!(", {traffic}, since: '1970-01-01T00:00:05.5Z'}}"),
    );
    let both = format!("{said}, {}", on("young"));
    play.take(News::Report(Event::Apply(report("n1", 6, &both))));
    assert_eq!(play.written_within(2).len(), 1);
    assert_eq!(play.written_within(20), [""; 0]);
}
