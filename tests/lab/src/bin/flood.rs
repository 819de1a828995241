//! Floods a UDP address with a mix of QUIC-like packets; prints what it offered as JSON.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use stoq_lab::Mac;
use stoq_lab::flood::{Control, Flood, Mix, Options, Target};

/// Floods a UDP address with a mix of QUIC-like packets; prints what it offered as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Network namespace of the sender, as a path.
    #[arg(long)]
    netns: PathBuf,
    /// Interface to send from.
    #[arg(long)]
    interface: String,
    /// Ethernet address of the node's uplink, or of the next hop.
    #[arg(long)]
    mac: Mac,
    /// Address and port to flood.
    #[arg(long)]
    to: SocketAddrV4,
    /// Packets per second in all; without it as fast as it goes.
    #[arg(long)]
    rate: Option<u64>,
    /// Seconds to run; without it until a signal ends the process.
    #[arg(long)]
    seconds: Option<f64>,
    /// CPU to send from.
    #[arg(long)]
    cpu: Option<usize>,
    /// How many different real Initials.
    #[arg(long, default_value_t = 1024)]
    initials: usize,
    /// Seed of sources and noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Name that the ClientHellos ask for.
    #[arg(long, default_value = "pod.stoq.test")]
    server_name: String,
    /// Protocol that they offer.
    #[arg(long, default_value = "stoq-lab")]
    alpn: String,
    #[command(flatten)]
    mix: Mix,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let report = Flood::prepare(options(arguments))?.run(&Control::default())?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

fn options(arguments: Arguments) -> Options {
    Options {
        netns: arguments.netns,
        interface: arguments.interface,
        target: Target {
            mac: arguments.mac,
            address: arguments.to,
        },
        mix: arguments.mix,
        rate: arguments.rate,
        duration: arguments.seconds.map(Duration::from_secs_f64),
        cpu: arguments.cpu,
        initials: arguments.initials,
        loud: stoq_lab::flood::LOUD_SIZE,
        seed: arguments.seed,
        server_name: arguments.server_name,
        alpn: arguments.alpn.into_bytes(),
    }
}
