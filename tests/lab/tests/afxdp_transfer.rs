//! Ten gibibytes, while what they come by changes all the time and the agent is killed again and again.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)]
#[path = "support/agent.rs"]
mod agent;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use agent::{Agent, put, run};
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use stoq::metrics::Metrics;
use stoq::{
    AfXdp, CertificateDer, Identity, PrivateKeyDer, RecvStream, SendStream, StoqTransport,
    TransportConfig,
};
use stoq_lab::quic::tls::SERVER_NAME;
use stoq_lab::{Lab, LabOptions, Pod, pod_yaml, transport_yaml, turn};
use tokio::runtime::{Builder, Runtime};

const PORT: u16 = 4433;
const BYTES: u64 = 10 << 30;
const BLOCK: usize = 1 << 20;
const SEED: u64 = 0x5707;
/// Between two changes of what packets come by.
const CHANGE: Duration = Duration::from_millis(100);
/// Between two deaths of the agent.
const DEATH: Duration = Duration::from_secs(2);
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seeded random bytes, block by block, each with its number in front.
struct Content {
    blocks: Vec<Vec<u8>>,
    state: u64,
    number: u64,
}

impl Content {
    fn new() -> Self {
        let mut state = SEED;
        let mut random = || {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let block = |_| {
            (0..BLOCK / 8)
                .flat_map(|_| random().to_le_bytes())
                .collect()
        };
        Self {
            blocks: (0..16).map(block).collect(),
            state: SEED,
            number: 0,
        }
    }

    fn next(&mut self) -> &[u8] {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let which = (self.state >> 33) as usize % self.blocks.len();
        let block = &mut self.blocks[which];
        block[..8].copy_from_slice(&self.number.to_le_bytes());
        self.number += 1;
        block
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// What the server saw.
struct Seen {
    metrics: Metrics,
    changes: u64,
    received: u64,
}

async fn serve(config: TransportConfig, ready: &AtomicBool, progress: &AtomicU64) -> Seen {
    let transport = StoqTransport::new(config).await.unwrap();
    ready.store(true, Relaxed);
    let connection = transport.accept().await.unwrap().unwrap();
    let (mut send, receive) = connection.accept_bi().await.unwrap();
    let changes = AtomicU64::new(0);
    let received = tokio::select! {
        received = check(receive, progress) => received,
        () = change(&transport, &changes) => unreachable!("it goes on for ever"),
    };
    send.write_all(&received.to_le_bytes()).await.unwrap();
    send.finish().unwrap();
    connection.closed().await;
    Seen {
        metrics: transport.metrics(),
        changes: changes.load(Relaxed),
        received,
    }
}

async fn change(transport: &StoqTransport, changes: &AtomicU64) {
    let mut every = tokio::time::interval(CHANGE);
    loop {
        for on in [false, true] {
            every.tick().await;
            transport.use_af_xdp(on).await;
            changes.fetch_add(1, Relaxed);
        }
    }
}

/// Every byte is the one that was sent; how many there were.
async fn check(mut receive: RecvStream, progress: &AtomicU64) -> u64 {
    let mut content = Content::new();
    let mut block = vec![0; BLOCK];
    for _ in 0..BYTES / BLOCK as u64 {
        receive.read_exact(&mut block).await.unwrap();
        assert!(
            block == content.next(),
            "block {} differs",
            content.number - 1
        );
        progress.fetch_add(BLOCK as u64, Relaxed);
    }
    let more = receive.read_to_end(1).await.unwrap();
    assert!(more.is_empty());
    progress.load(Relaxed)
}

async fn send_all(mut send: SendStream) {
    let mut content = Content::new();
    for _ in 0..BYTES / BLOCK as u64 {
        send.write_all(content.next()).await.unwrap();
    }
    send.finish().unwrap();
}

async fn ask(config: TransportConfig) -> u64 {
    let transport = StoqTransport::new(config).await.unwrap();
    let server = Pod::Routed.targets(PORT)[0];
    let connection = transport.connect(server, SERVER_NAME).await.unwrap();
    let (send, mut receive) = connection.open_bi().await.unwrap();
    send_all(send).await;
    let answer = receive.read_to_end(8).await.unwrap();
    u64::from_le_bytes(answer.try_into().unwrap())
}

fn server_config(lab: &Lab, broker: PathBuf) -> TransportConfig {
    let identity = lab.identity();
    let chain = CertificateDer::pem_file_iter(&identity.cert).unwrap();
    TransportConfig {
        bind: Pod::Routed.targets(PORT)[0],
        identity: Some(Identity {
            chain: chain.map(Result::unwrap).collect(),
            key: PrivateKeyDer::from_pem_file(&identity.key).unwrap(),
        }),
        af_xdp: AfXdp::Broker { socket: broker },
        ..TransportConfig::default()
    }
}

fn client_config(lab: &Lab) -> TransportConfig {
    TransportConfig {
        bind: "0.0.0.0:0".parse().unwrap(),
        roots: vec![CertificateDer::from_pem_file(&lab.identity().ca).unwrap()],
        af_xdp: AfXdp::Off,
        ..TransportConfig::default()
    }
}

#[test]
fn ten_gibibytes_arrive_as_they_were_sent() {
    let Some(_turn) = turn("ten_gibibytes_arrive_as_they_were_sent") else {
        return;
    };
    let lab = Lab::up(LabOptions {
        wire_like: true,
        ..LabOptions::default()
    })
    .unwrap();
    put(&lab, "routed", &pod_yaml(Pod::Routed));
    put(
        &lab,
        "edge",
        &transport_yaml("edge", PORT, "QUIC", &json!({})),
    );
    let mut agent = Agent::spawn(&lab, &mut run(&lab));
    agent.wait_mode("Native");
    let broker = lab.directory().join("run").join("afxdp.sock");
    let (ready, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let (seen, told, deaths) = thread::scope(|scope| {
        let server = server_config(&lab, broker);
        let (ready, progress) = (&ready, &progress);
        let serving = scope.spawn(|| {
            let serve = || runtime().block_on(serve(server, ready, progress));
            lab.pod.run(serve).unwrap()
        });
        while !ready.load(Relaxed) {
            assert!(!serving.is_finished(), "the server has failed");
            thread::yield_now();
        }
        let client = client_config(&lab);
        let asking = scope.spawn(|| lab.client.run(|| runtime().block_on(ask(client))).unwrap());
        let mut deaths = 0;
        while !asking.is_finished() && !serving.is_finished() {
            thread::sleep(DEATH);
            agent
                .process()
                .signal(stoq_lab::process::Signal::KILL)
                .unwrap();
            let dead = std::mem::replace(&mut agent, Agent::spawn(&lab, &mut run(&lab)));
            dead.kill();
            deaths += 1;
            let arrived = progress.load(Relaxed);
            assert!(began.elapsed() < PATIENCE, "{arrived} bytes");
        }
        (serving.join().unwrap(), asking.join().unwrap(), deaths)
    });
    let seconds = began.elapsed().as_secs_f64();
    let counts = seen.metrics.af_xdp;
    println!(
        "{BYTES} bytes in {seconds:.0} s, {} changes, {deaths} dead agents: {} packets by AF_XDP, {} by UDP",
        seen.changes, counts.packets, seen.metrics.udp_datagrams
    );
    assert_eq!((seen.received, told), (BYTES, BYTES));
    let packets = counts.packets + seen.metrics.udp_datagrams;
    assert!(counts.packets > packets / 50, "{:#?}", seen.metrics);
    assert!(seen.metrics.udp_datagrams > 100_000, "{:#?}", seen.metrics);
    assert!(seen.changes > 20 && deaths > 3, "{} {deaths}", seen.changes);
}
