//! A server that sends back what it gets, and a client that says how long that takes.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcgen::generate_simple_self_signed;
use stoq::{
    AfXdp, CertificateDer, Connection, Identity, Profile, StoqTransport, TransportConfig, VarInt,
};

const USAGE: &str = "\
usage: echo server [OPTION VALUE]...
       echo client SERVER:PORT [OPTION VALUE]...

Options of both:
  --certificate FILE  server: where to write its certificate (DER), client: where to read it [echo.der]
  --bind ADDRESS:PORT where to receive [server: [::]:4433, client: [::]:0]
  --broker SOCKET     the agent to ask for an AF_XDP socket, or `off` [/run/stoq/afxdp.sock]
  --profile PROFILE   auto, latency or throughput [auto]
Options of the client:
  --count N           questions, one after the other [1000]
  --bytes N           bytes of each, and of its answer [64]

Receiving by AF_XDP needs a build with `--features ebpf`; see what `backend` says.";

const NAME: &str = "echo.stoq.test";
const MOST: usize = 64 << 20;

struct Options {
    config: TransportConfig,
    certificate: PathBuf,
    count: usize,
    bytes: usize,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["server", options @ ..] => server(parse(options, "[::]:4433")?).await,
        ["client", address, options @ ..] => {
            let client = client(address.parse()?, parse(options, "[::]:0")?);
            // Among the runtime's own threads, so that nothing has to wake another.
            tokio::spawn(client).await?
        }
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

fn parse(options: &[&str], bind: &str) -> Result<Options, Failure> {
    let mut parsed = Options {
        config: TransportConfig {
            bind: bind.parse()?,
            ..TransportConfig::default()
        },
        certificate: PathBuf::from("echo.der"),
        count: 1000,
        bytes: 64,
    };
    let config = &mut parsed.config;
    for option in options.chunks(2) {
        match *option {
            ["--certificate", path] => parsed.certificate = path.into(),
            ["--bind", address] => config.bind = address.parse()?,
            ["--broker", "off"] => config.af_xdp = AfXdp::Off,
            ["--broker", path] => {
                let socket = path.into();
                config.af_xdp = AfXdp::Broker { socket };
            }
            ["--profile", "auto"] => config.profile = Profile::Auto,
            ["--profile", "latency"] => config.profile = Profile::Latency,
            ["--profile", "throughput"] => config.profile = Profile::Throughput,
            ["--count", count] => parsed.count = count.parse()?,
            ["--bytes", bytes] => parsed.bytes = bytes.parse()?,
            _ => return Err(format!("{}?\n{USAGE}", option.join(" ")).into()),
        }
    }
    Ok(parsed)
}

async fn server(mut options: Options) -> Result<(), Failure> {
    let signed = generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = signed.cert.der().clone();
    std::fs::write(&options.certificate, &certificate)?;
    options.config.identity = Some(Identity {
        chain: vec![certificate],
        key: signed.signing_key.serialize_der().try_into()?,
    });
    let transport = StoqTransport::new(options.config).await?;
    println!("listening at {}", transport.local_addr()?);
    tokio::spawn(report(transport.clone()));
    while let Some(accepted) = transport.accept().await {
        match accepted {
            Ok(connection) => drop(tokio::spawn(answer(connection))),
            Err(error) => eprintln!("a client: {error}"),
        }
    }
    Ok(())
}

/// Says by what packets come, whenever that changes.
async fn report(transport: StoqTransport) {
    let mut last = None;
    loop {
        let backend = transport.backend();
        if last.as_ref() != Some(&backend) {
            println!("backend: {backend:?}");
            last = Some(backend);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn answer(connection: Connection) {
    while let Ok((mut to, mut from)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let bytes = from.read_to_end(MOST).await?;
            to.write_all(&bytes).await?;
            to.finish()?;
            Ok::<_, Failure>(())
        });
    }
}

async fn client(server: SocketAddr, mut options: Options) -> Result<(), Failure> {
    let root = CertificateDer::from(std::fs::read(&options.certificate)?);
    options.config.roots = vec![root];
    let transport = StoqTransport::new(options.config).await?;
    let connection = transport.connect(server, NAME).await?;
    let question = vec![7; options.bytes];
    let mut times = Vec::with_capacity(options.count);
    for _ in 0..options.count {
        let begin = Instant::now();
        let (mut to, mut from) = connection.open_bi().await?;
        to.write_all(&question).await?;
        to.finish()?;
        if from.read_to_end(MOST).await? != question {
            return Err("the answer is another".into());
        }
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    for percent in [50, 99] {
        let rank = times.len().saturating_sub(1) * percent / 100;
        let time = times.get(rank).copied().unwrap_or_default();
        println!("p{percent} {time:?}");
    }
    println!("{:#?}", transport.metrics());
    connection.close(VarInt::from_u32(0), b"done");
    transport.wait_idle().await;
    Ok(())
}
