//! The command line.

mod cleanup;
mod cluster;
mod node_ips;
mod usage;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use node_ips::NodeIps;
use stoq_agent::broker::Limits;
use stoq_agent::device_plugin::{DEVICE_PLUGINS, Kubelet, POD_RESOURCES};
use stoq_agent::report::gate_status;
use stoq_agent::run::{self, RunOptions};
use stoq_agent::show::{self, Output};
use stoq_agent::{files, status::GateStatus};
use stoq_daemon::Log;
use stoq_ebpf::capability;
use stoq_ebpf::kernel::interface;

/// Guards and observes UDP and QUIC on one node with XDP and TC programs.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  stoq-agent probe                              what can this node do?
  stoq-agent run --standalone /etc/stoq         guard what the files there ask for
  NODE_NAME=node-a stoq-agent run               guard what the cluster asks for on that node
  stoq-agent status                             what is in force, and why not more
  stoq-agent cleanup                            remove all of STOQ from this node";

#[derive(Subcommand)]
enum Command {
    /// Guard and observe until told to stop; what is attached then stays in force
    Run(Box<Run>),
    /// Find out what the node can do, by doing it
    Probe {
        /// Form of the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
        #[command(flatten)]
        bpffs: Bpffs,
    },
    /// Show what a running agent says of itself
    Status {
        /// Form of the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
        /// Run directory of the agent
        #[arg(long, default_value = RUN_DIR, env = "STOQ_RUN_DIR")]
        run_dir: PathBuf,
    },
    /// Remove every program, map, pin and device of STOQ, and nothing else
    Cleanup {
        #[command(flatten)]
        bpffs: Bpffs,
        /// Run directory of the agent
        #[arg(long, default_value = RUN_DIR, env = "STOQ_RUN_DIR")]
        run_dir: PathBuf,
    },
}

const RUN_DIR: &str = "/run/stoq";

#[derive(Args)]
struct Bpffs {
    /// Where a BPF file system is mounted
    #[arg(long, default_value = "/sys/fs/bpf", env = "STOQ_BPFFS")]
    bpffs: PathBuf,
}

#[derive(Args)]
#[command(
    after_help = "Needs root, or CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK.\n\n\
        Example:\n  stoq-agent run --standalone /etc/stoq --uplink eth0 --http 127.0.0.1:9465"
)]
struct Run {
    /// Without a cluster: directory of StoqTransport and Pod files (*.yaml), watched for change
    #[arg(long, value_name = "DIR")]
    standalone: Option<PathBuf>,
    #[command(flatten)]
    cluster: cluster::Options,
    /// Interface that carries outside traffic; default: those of the default routes and of --node-ips
    #[arg(long = "uplink", value_name = "NAME")]
    uplinks: Vec<String>,
    /// Addresses of this node in its cluster, comma-separated: what they are on is an uplink too
    #[arg(long, value_name = "IPS", env = "STOQ_NODE_IPS", default_value = "")]
    node_ips: NodeIps,
    /// Directory for status.json, and for what was last seen of the cluster
    #[arg(long, default_value = RUN_DIR, env = "STOQ_RUN_DIR")]
    run_dir: PathBuf,
    #[command(flatten)]
    bpffs: Bpffs,
    /// Where to serve /metrics, /healthz, /readyz and /status
    #[arg(long, default_value = "0.0.0.0:9465")]
    http: SocketAddr,
    /// Flows to remember; takes effect when the maps are made
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1024..=16_777_216))]
    flows: u32,
    /// Memory for AF_XDP sockets of pods, MiB in all
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    afxdp_memory: u64,
    /// Most AF_XDP sockets at a time
    #[arg(long, default_value_t = 256, value_name = "N")]
    afxdp_sessions: usize,
    /// The kubelet's directory of device plugins, to let pods ask for stoq.io/afxdp; in a cluster
    /// /var/lib/kubelet/device-plugins by default, otherwise none
    #[arg(long, value_name = "DIR")]
    device_plugins: Option<PathBuf>,
    /// The kubelet's socket that tells which pod holds which device
    #[arg(long, value_name = "PATH", default_value = POD_RESOURCES)]
    pod_resources: PathBuf,
    /// Do without TCX, as on kernels before 6.6
    #[arg(long, hide = true)]
    without_tcx: bool,
    /// Form of the log; STOQ_LOG in the environment says how much: info, debug, stoq_agent=trace,warn
    #[arg(long, value_enum, default_value_t)]
    log: Log,
}

/// Bytes of the largest UMEM a pod gets.
const SESSION_MEMORY: u64 = 64 << 20;

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

impl From<Format> for Output {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Json => Self::Json,
            Format::Yaml => Self::Yaml,
        }
    }
}

/// Runs the command. Exit code 2: it makes no sense as given.
pub(crate) fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage::refuse(&error),
    };
    match command {
        Command::Run(options) => agent(*options),
        Command::Probe { output, bpffs } => {
            print!("{}", show::show_gates(&gates(&bpffs.bpffs), output.into()));
            ExitCode::SUCCESS
        }
        Command::Status { output, run_dir } => match files::read_status(&run_dir) {
            Ok(status) => {
                print!("{}", show::show_status(&status, output.into()));
                warn_of_the_dead(status.pid);
                ExitCode::SUCCESS
            }
            Err(error) => fail(1, format_args!("no agent has reported here: {error}")),
        },
        Command::Cleanup { bpffs, run_dir } => cleanup::cleanup(&bpffs.bpffs, &run_dir),
    }
}

/// In whose name `status.json` speaks; 0: nobody knows.
fn warn_of_the_dead(pid: u32) {
    if pid != 0 && !Path::new("/proc").join(pid.to_string()).exists() {
        eprintln!(
            "stoq-agent: the agent that wrote this (pid {pid}) is not running: its hooks stay in force"
        );
    }
}

fn fail(code: u8, what: impl Display) -> ExitCode {
    eprintln!("stoq-agent: {what}");
    ExitCode::from(code)
}

fn agent(options: Run) -> ExitCode {
    options.log.init();
    let source = match options.cluster.source(options.standalone) {
        Ok(source) => source,
        Err(why) => return fail(2, why),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Each has a stack and an arena of its own; that a few wait for others does no harm.
        .max_blocking_threads(4)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(2, format_args!("start the runtime: {error}")),
    };
    let usual = || (!source.is_standalone()).then(|| PathBuf::from(DEVICE_PLUGINS));
    let device_plugins = options.device_plugins.or_else(usual);
    let kubelet = device_plugins.map(|device_plugins| Kubelet {
        device_plugins,
        pod_resources: options.pod_resources,
    });
    let options = RunOptions {
        source,
        kubelet,
        uplinks: options.uplinks,
        node_ips: options.node_ips.0,
        run_dir: options.run_dir,
        bpffs: options.bpffs.bpffs,
        http: options.http,
        flows: options.flows,
        without_tcx: options.without_tcx,
        af_xdp: Limits {
            sessions: options.afxdp_sessions,
            session_memory: SESSION_MEMORY,
            memory: options.afxdp_memory << 20,
        },
    };
    match runtime.block_on(run::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(2, error),
    }
}

/// The node's gates, then each interface's that could be an uplink.
fn gates(bpffs: &Path) -> Vec<GateStatus> {
    let node = capability::probe(bpffs).gates;
    let mut gates: Vec<_> = node.iter().map(|gate| gate_status(gate, "")).collect();
    for interface in interface::list().unwrap_or_default() {
        if interface.name == "lo" || !interface.up {
            continue;
        }
        match capability::interface(&interface.name) {
            Ok(report) => {
                gates.extend(
                    report
                        .gates
                        .iter()
                        .map(|gate| gate_status(gate, &interface.name)),
                );
            }
            Err(error) => eprintln!("stoq-agent: interface {}: {error}", interface.name),
        }
    }
    gates
}
