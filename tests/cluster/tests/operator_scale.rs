//! 5,000 nodes and 50 transports, played: what the operator writes, how fresh that is, what it takes.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/operators.rs"]
mod operators;

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use operators::{NAMESPACE, Operator, SOON, Stage, is, memory, merge_status, native, tcx};
use serde_json::{Value, json};
use stoq_cluster::may_run;
use stoq_crds::api::StoqNode;
use tokio::sync::oneshot;

const NODES: usize = 5_000;
/// Transports behind a node port: in force on every node.
const EVERYWHERE: usize = 5;
const TRANSPORTS: usize = 50;
/// Nodes of each of the others.
const SPREAD: usize = 20;
const AT_ONCE: usize = 48;
/// How long the agents report as they do, each once a minute.
const PLAY: Duration = Duration::from_secs(30);
/// Changes of state per transport that is everywhere.
const CHANGES: usize = 8;

const MOST_WRITES: f64 = 20.0;
const FRESH: Duration = Duration::from_secs(5);
const MOST_MEMORY: u64 = 150 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_nodes_are_summed_up_in_time() {
    if !may_run("five_thousand_nodes_are_summed_up_in_time") {
        return;
    }
    let stage = Stage::set().await;
    let began = Instant::now();
    furnish(&stage).await;
    println!("furnished in {:.1?}", began.elapsed());

    let operator = stage.operator("a", &[]);
    let began = Instant::now();
    let all = format!("{NODES}/{NODES}");
    for n in 0..EVERYWHERE {
        let summed = |one: &stoq_crds::api::StoqTransportStatus| {
            one.summary.as_ref().is_some_and(|one| one.nodes == all)
        };
        stage.until(&everywhere(n), "summed up", summed).await;
    }
    println!("all summed up {:.1?} after the start", began.elapsed());

    let (stop, stopped) = oneshot::channel();
    let ((), rates, fresh) = tokio::join!(play(&stage, stopped), rates(&operator), async {
        let fresh = freshness(&stage).await;
        let _ = stop.send(());
        fresh
    });
    tell_labels(&operator, began.elapsed());
    report(&operator, rates, fresh);
}

/// All nodes are new, and their labels take what statuses and events leave of the writes: the whole
/// test happens while they are written, and they would take many times as long.
fn tell_labels(operator: &Operator, after: Duration) {
    let written = operator.writes("labels");
    let rate = written / after.as_secs_f64();
    println!(
        "labels of {written} nodes in {after:.0?}, which makes {:.0} s for {NODES}",
        NODES as f64 / rate
    );
    assert!(written > 0.0 && written < NODES as f64, "{written}");
}

fn report(operator: &Operator, mut rates: Vec<f64>, mut fresh: Vec<Duration>) {
    rates.sort_by(f64::total_cmp);
    fresh.sort();
    let (resident, highest) = memory(operator.process.pid());
    let p99 = fresh[(fresh.len() * 99).div_ceil(100) - 1];
    println!(
        "writes a second, min/median/max: {:.1}/{:.1}/{:.1}",
        rates[0],
        rates[rates.len() / 2],
        rates[rates.len() - 1]
    );
    println!(
        "fresh after, min/median/p99/max of {}: {:.2?}/{:.2?}/{p99:.2?}/{:.2?}",
        fresh.len(),
        fresh[0],
        fresh[fresh.len() / 2],
        fresh[fresh.len() - 1]
    );
    println!(
        "resident now/at most: {}/{} MiB",
        resident >> 20,
        highest >> 20
    );
    assert!(rates[rates.len() - 1] <= MOST_WRITES);
    assert!(p99 <= FRESH);
    assert!(highest <= MOST_MEMORY);
}

fn everywhere(n: usize) -> String {
    format!("everywhere-{n}")
}

fn node(n: usize) -> String {
    format!("node-{n:04}")
}

/// The transports in force on a node, beside those in force everywhere.
fn spread_on(n: usize) -> Option<String> {
    let spread = n / SPREAD;
    (spread < TRANSPORTS - EVERYWHERE).then(|| format!("spread-{spread}"))
}

/// What the agent of a node says.
fn said(n: usize, packets: i64) -> Vec<Value> {
    let everywhere = (0..EVERYWHERE).map(everywhere);
    everywhere
        .chain(spread_on(n))
        .map(|name| native(&name, packets))
        .collect()
}

async fn furnish(stage: &Stage) {
    for n in 0..EVERYWHERE {
        let name = everywhere(n);
        stage.transport(&name, &name, 4433).await;
        stage
            .pod(&name, &name, &node(n), &format!("10.1.0.{n}"))
            .await;
        stage.control_plane.apply(&front_end(&name, n)).unwrap();
    }
    for n in 0..TRANSPORTS - EVERYWHERE {
        let name = format!("spread-{n}");
        stage.transport(&name, &name, 4433).await;
    }
    let furnish = |n: usize| async move {
        let ip = format!("10.3.{}.{}", n / 250, n % 250 + 1);
        stage.node(&node(n), &ip).await;
        if let Some(app) = spread_on(n) {
            let ip = format!("10.2.{}.{}", n / 250, n % 250 + 1);
            stage.pod(&format!("pod-{n}"), &app, &node(n), &ip).await;
        }
        let object = json!({
            "apiVersion": "stoq.io/v1alpha1", "kind": "StoqNode",
            "metadata": {"name": node(n)}, "spec": {},
        });
        let object = serde_json::from_value(object).unwrap();
        let nodes = Api::<StoqNode>::all(stage.client.clone());
        nodes.create(&PostParams::default(), &object).await.unwrap();
        report_of(stage, n, 1).await;
    };
    stream::iter(0..NODES)
        .for_each_concurrent(AT_ONCE, furnish)
        .await;
}

fn front_end(name: &str, n: usize) -> String {
    format!(
        "
{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: NodePort,
  ports: [{{name: q, protocol: UDP, port: 443, targetPort: 4433, nodePort: {}}}]}}}}
---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
  metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}},
  ports: [{{name: q, protocol: UDP, port: 4433}}],
  endpoints: [{{addresses: [10.1.0.{n}], targetRef: {{kind: Pod, name: {name}, namespace: {NAMESPACE}}}}}]}}
",
        30_000 + n
    )
}

async fn report_of(stage: &Stage, n: usize, packets: i64) {
    let nodes = Api::<StoqNode>::all(stage.client.clone());
    let status = json!({"status": operators::status(&said(n, packets))});
    merge_status(&nodes, &node(n), &status).await;
}

/// Agents report every 42.5 s each, with other figures, until told to stop. Those that others
/// play with are left alone.
async fn play(stage: &Stage, stopped: oneshot::Receiver<()>) {
    let pause = Duration::from_millis(42_500) / NODES as u32;
    let mut ticks = tokio::time::interval(pause);
    let reports = async {
        let tick = stream::unfold(&mut ticks, |ticks| async {
            ticks.tick().await;
            Some(((), ticks))
        });
        let from = EVERYWHERE * CHANGES;
        let nodes = tick.zip(stream::iter((from..NODES).cycle()));
        nodes
            .for_each_concurrent(AT_ONCE, |((), n)| {
                report_of(stage, n, Timestamp::now().as_second() % 1000)
            })
            .await;
    };
    tokio::select! {
        () = reports => {}
        _ = stopped => {}
    }
}

/// Writes a second, for a while.
async fn rates(operator: &Operator) -> Vec<f64> {
    let began = Instant::now();
    let mut rates = Vec::new();
    let mut last = (Instant::now(), operator.writes(""));
    while began.elapsed() < PLAY {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = (Instant::now(), operator.writes(""));
        rates.push((now.1 - last.1) / now.0.duration_since(last.0).as_secs_f64());
        last = now;
    }
    rates
}

/// How long it takes until the status says that one more node is on TCX: for each transport that
/// is everywhere, one change after the other.
async fn freshness(stage: &Stage) -> Vec<Duration> {
    let began = Instant::now();
    let of_one = |n: usize| async move {
        let mut took = Vec::new();
        for change in 0..CHANGES {
            let on = n * CHANGES + change;
            let mut said = said(on, 1);
            said[n] = tcx(&everywhere(n));
            let began = Instant::now();
            stage.report(&node(on), &said).await;
            let wanted = (change + 1) as i64;
            let counted = |one: &stoq_crds::api::StoqTransportStatus| {
                one.nodes.as_ref().is_some_and(|nodes| nodes.tcx == wanted)
            };
            stage.until(&everywhere(n), "counted", counted).await;
            took.push(began.elapsed());
        }
        took
    };
    let all = futures::future::join_all((0..EVERYWHERE).map(of_one)).await;
    // The figures of the rest go on for as long as they are looked at.
    tokio::time::sleep(PLAY.saturating_sub(began.elapsed())).await;
    let degraded =
        |one: &stoq_crds::api::StoqTransportStatus| is(one, "Degraded", "True MtuTooLarge");
    stage.until(&everywhere(0), "degraded", degraded).await;
    assert!(began.elapsed() < PLAY + SOON);
    all.into_iter().flatten().collect()
}
