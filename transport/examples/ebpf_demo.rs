//! What eBPF can do here, and one QUIC connection whose packets come by UDP, then by AF_XDP, then by
//! UDP again: with numbers.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rcgen::generate_simple_self_signed;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use stoq::{
    AfXdp, Backend, CertificateDer, Connection, GateState, Identity, Profile, StoqTransport,
    TransportConfig,
};

const USAGE: &str = "\
usage: ebpf_demo

Says what eBPF can do on this machine. As root it then makes two network namespaces with a wire
between them, and one QUIC connection over it whose server changes from UDP to AF_XDP and back while
it lasts. Nothing outside the namespaces is touched, and they are removed at the end.

example: sudo -E env \"PATH=$PATH\" cargo run --release -p stoq --features ebpf --example ebpf_demo";

const NAME: &str = "demo.stoq.test";
const SERVER: &str = "10.99.0.1:4433";
const BULK: usize = 256 << 20;
const QUESTIONS: usize = 5000;
const QUESTION: usize = 64;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    if std::env::args().len() > 1 {
        println!("{USAGE}");
        return Ok(());
    }
    runtime()?.block_on(capabilities())?;
    if !rustix::process::geteuid().is_root() {
        println!("\nthe rest needs root, for network namespaces and AF_XDP: see --help");
        return Ok(());
    }
    let wire = Wire::up()?;
    println!(
        "\nserver and client in network namespaces of their own, one connection for all rows:\n"
    );
    println!("server receives by   Gbit/s   64 B answer p50      p99   packets by UDP   by AF_XDP");
    wire.run()
}

async fn capabilities() -> Result<(), Failure> {
    let transport = StoqTransport::new(TransportConfig {
        af_xdp: AfXdp::Off,
        ..TransportConfig::default()
    })
    .await?;
    let Some(status) = transport.get_ebpf_status() else {
        println!("built without the feature ebpf: UDP is all there is");
        return Ok(());
    };
    println!(
        "XDP {}, AF_XDP {}",
        status.xdp_available, status.af_xdp_available
    );
    for gate in &status.gates {
        match &gate.state {
            GateState::Available => println!("  {:<18} available", gate.name),
            GateState::Unavailable { reason, message } => {
                println!("  {:<18} unavailable: {reason}: {message}", gate.name);
            }
            GateState::Unknown { reason, message } => {
                println!("  {:<18} unknown: {reason}: {message}", gate.name);
            }
        }
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build()
}

/// Two namespaces, a wire between them, and a BPF file system; gone when dropped.
struct Wire {
    names: [String; 2],
    bpffs: PathBuf,
}

impl Wire {
    fn up() -> Result<Self, Failure> {
        let id = std::process::id();
        let names = ["server", "client"].map(|end| format!("stoq-demo-{id}-{end}"));
        let bpffs = std::env::temp_dir().join(format!("stoq-demo-{id}"));
        let wire = Self { names, bpffs };
        let [server, client] = &wire.names;
        std::fs::create_dir(&wire.bpffs)?;
        let mounted = wire
            .bpffs
            .to_str()
            .ok_or("a temporary directory without a name")?;
        tool(&["mount", "-t", "bpf", "bpf", mounted])?;
        tool(&["ip", "netns", "add", server])?;
        tool(&["ip", "netns", "add", client])?;
        for (end, address) in [(server, "10.99.0.1/24"), (client, "10.99.0.2/24")] {
            if end == server {
                tool(&[
                    "ip", "-n", server, "link", "add", "eth0", "type", "veth", "peer", "name",
                    "eth0", "netns", client,
                ])?;
            }
            tool(&["ip", "-n", end, "addr", "add", address, "dev", "eth0"])?;
            tool(&["ip", "-n", end, "link", "set", "eth0", "up"])?;
        }
        // As on a wire: one packet a frame, with its checksum.
        tool(&[
            "ip", "netns", "exec", client, "ethtool", "-K", "eth0", "tx", "off", "gso", "off",
        ])?;
        Ok(wire)
    }

    /// Each end has a thread, and a runtime, in its namespace.
    fn run(&self) -> Result<(), Failure> {
        let [server, client] = &self.names;
        let (ready, certificate) = mpsc::channel();
        let (orders, what_to_do) = mpsc::channel();
        let (answers, what_was_done) = mpsc::channel();
        std::thread::scope(|scope| {
            let serving = scope.spawn(move || {
                within(server)?;
                runtime()?.block_on(serve(&self.bpffs, &ready, &what_to_do, &answers))
            });
            let asking = scope.spawn(move || {
                within(client)?;
                let root = certificate.recv()?;
                runtime()?.block_on(ask(root, &orders, &what_was_done))
            });
            let ends = [serving.join(), asking.join()];
            ends.into_iter()
                .try_for_each(|end| end.unwrap_or_else(|_| Err("an end panicked".into())))
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // What is not there any more can't be removed.
        for name in &self.names {
            let _ = tool(&["ip", "netns", "del", name]);
        }
        let _ = tool(&["umount", &self.bpffs.to_string_lossy()]);
        let _ = std::fs::remove_dir(&self.bpffs);
    }
}

fn within(namespace: &str) -> Result<(), Failure> {
    let file = File::open(Path::new("/run/netns").join(namespace))?;
    move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(LinkNameSpaceType::Network),
    )?;
    Ok(())
}

fn tool(words: &[&str]) -> Result<(), Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{}: {said}", words.join(" ")).into())
}

/// Whether to receive by AF_XDP from now on; nothing more: the end.
type Orders = mpsc::Receiver<bool>;
/// What it is received by, and packets by UDP and by AF_XDP so far.
type Answers = mpsc::Sender<(String, u64, u64)>;

async fn serve(
    bpffs: &Path,
    ready: &mpsc::Sender<CertificateDer<'static>>,
    orders: &Orders,
    answers: &Answers,
) -> Result<(), Failure> {
    let own = generate_simple_self_signed([NAME.to_owned()])?;
    let certificate: CertificateDer<'static> = own.cert.der().clone();
    let transport = StoqTransport::new(TransportConfig {
        bind: SERVER.parse()?,
        identity: Some(Identity {
            chain: vec![certificate.clone()],
            key: own.signing_key.into(),
        }),
        af_xdp: AfXdp::Direct {
            interface: "eth0".to_owned(),
            bpffs: bpffs.to_owned(),
        },
        profile: Profile::Latency,
        ..TransportConfig::default()
    })
    .await?;
    transport.use_af_xdp(false).await;
    ready.send(certificate)?;
    let connection = transport.accept().await.ok_or("closed")??;
    let echo = tokio::spawn(echo(connection));
    loop {
        match orders.try_recv() {
            Ok(on) => answers.send(change(&transport, on).await?)?,
            Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(mpsc::TryRecvError::Disconnected) => break,
        }
    }
    echo.abort();
    Ok(())
}

/// Changes over, and waits until it is so.
async fn change(transport: &StoqTransport, on: bool) -> Result<(String, u64, u64), Failure> {
    const PATIENCE: Duration = Duration::from_secs(10);
    transport.use_af_xdp(on).await;
    let until = Instant::now() + PATIENCE;
    let name = loop {
        match transport.backend() {
            Backend::AfXdp { .. } if on => break "AF_XDP",
            Backend::Udp { .. } if !on => break "UDP",
            other if Instant::now() > until => return Err(format!("still {other:?}").into()),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let metrics = transport.metrics();
    Ok((
        name.to_owned(),
        metrics.udp_datagrams,
        metrics.af_xdp.packets,
    ))
}

/// Each stream is sent back; one longer than a question is only counted.
async fn echo(connection: Connection) -> Result<(), Failure> {
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let mut total = 0;
        let mut last = Vec::new();
        while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
            total += chunk.bytes.len();
            last = chunk.bytes.to_vec();
        }
        let answer = if total > QUESTION {
            total.to_be_bytes().to_vec()
        } else {
            last
        };
        send.write_all(&answer).await?;
        send.finish()?;
    }
}

async fn ask(
    root: CertificateDer<'static>,
    orders: &mpsc::Sender<bool>,
    answers: &mpsc::Receiver<(String, u64, u64)>,
) -> Result<(), Failure> {
    let transport = StoqTransport::new(TransportConfig {
        bind: "10.99.0.2:0".parse()?,
        roots: vec![root],
        af_xdp: AfXdp::Off,
        profile: Profile::Latency,
        keep_alive: Some(Duration::from_secs(1)),
        ..TransportConfig::default()
    })
    .await?;
    let connection = transport.connect(SERVER.parse()?, NAME).await?;
    for on in [false, true, false] {
        orders.send(on)?;
        let (name, udp, af_xdp) = answer(answers).await?;
        let rate = bulk(&connection).await?;
        let (p50, p99) = questions(&connection).await?;
        orders.send(on)?;
        let (_, udp_then, af_xdp_then) = answer(answers).await?;
        println!(
            "{name:<18} {rate:>8.2}   {p50:>13} us {p99:>5} us   {:>14} {:>11}",
            udp_then - udp,
            af_xdp_then - af_xdp,
        );
    }
    Ok(())
}

/// Without standing in the way of the connection.
async fn answer(
    answers: &mpsc::Receiver<(String, u64, u64)>,
) -> Result<(String, u64, u64), Failure> {
    loop {
        match answers.try_recv() {
            Ok(answer) => return Ok(answer),
            Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gbit/s.
async fn bulk(connection: &Connection) -> Result<f64, Failure> {
    let began = Instant::now();
    let (mut send, mut receive) = connection.open_bi().await?;
    let piece = vec![7; 1 << 20];
    for _ in 0..BULK / piece.len() {
        send.write_all(&piece).await?;
    }
    send.finish()?;
    let total = receive.read_to_end(QUESTION).await?;
    if total != BULK.to_be_bytes() {
        return Err("not everything arrived".into());
    }
    Ok(BULK as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e9)
}

/// Microseconds, half of the answers and 99 % of them.
async fn questions(connection: &Connection) -> Result<(u128, u128), Failure> {
    let mut times = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&[7; QUESTION]).await?;
        send.finish()?;
        receive.read_to_end(QUESTION).await?;
        times.push(began.elapsed().as_micros());
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0);
    Ok((at(50), at(99)))
}
