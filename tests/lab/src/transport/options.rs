//! What both ends can vary.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Whose QUIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Library {
    /// quinn, as it comes.
    Quinn,
    /// s2n-quic, as it comes; only in a build with the feature `s2n-quic`.
    S2n,
    /// The crate `stoq`.
    Stoq,
}

/// What the processor's time is spent on; see `stoq::Profile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Never worse than `throughput`.
    Auto,
    /// Looks for packets for a while before it sleeps.
    Latency,
    /// Sleeps at once.
    Throughput,
}

/// What the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// One stream to the server, as fast as it goes.
    Bulk,
    /// 64 bytes to the server and back, one after the other, over one stream.
    Rpc,
    /// The same, with another connection in bulk.
    Loaded,
}

/// How an end receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By UDP alone.
    Udp,
    /// By AF_XDP as the agent at this socket hands it over, or the run is void.
    Broker(PathBuf),
    /// The same if the agent will, else by UDP.
    Perhaps(PathBuf),
    /// By AF_XDP on this interface itself, or the run is void.
    Direct(String),
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "off" => Ok(Self::Udp),
            Some(("broker", path)) => Ok(Self::Broker(path.into())),
            Some(("perhaps", path)) => Ok(Self::Perhaps(path.into())),
            Some(("direct", interface)) => Ok(Self::Direct(interface.to_owned())),
            _ => Err("off, broker:PATH, perhaps:PATH or direct:INTERFACE".to_owned()),
        }
    }
}

/// What either end is told.
#[derive(Debug, Clone, Args)]
pub struct EndOptions {
    /// Whose QUIC.
    #[arg(long, value_enum)]
    pub library: Library,
    /// How to receive (stoq): off, broker:PATH, perhaps:PATH or direct:INTERFACE.
    #[arg(long, default_value = "off")]
    pub af_xdp: Way,
    /// What the processor's time is spent on (stoq).
    #[arg(long, value_enum, default_value_t = Profile::Throughput)]
    pub profile: Profile,
    /// Send datagrams one by one.
    #[arg(long)]
    pub no_gso: bool,
    /// Largest datagram to try, in bytes of UDP payload.
    #[arg(long, default_value_t = 1452)]
    pub datagram: u16,
    /// The CPU to stay on; any without.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Where a BPF file system is mounted (direct).
    #[arg(long, default_value = "/sys/fs/bpf")]
    pub bpffs: PathBuf,
}

impl EndOptions {
    /// Moves the calling thread, and those it will start, to the CPU.
    pub fn pin(&self) -> Result<()> {
        let Some(cpu) = self.cpu else {
            return Ok(());
        };
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("cpu {cpu}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_read_as_it_is_written() {
        for (text, expected) in [
            ("off", Some(Way::Udp)),
            ("broker:/run/a", Some(Way::Broker("/run/a".into()))),
            ("perhaps:/run/a", Some(Way::Perhaps("/run/a".into()))),
            ("direct:eth0", Some(Way::Direct("eth0".to_owned()))),
            ("", None),
            ("udp", None),
            ("relay:eth0", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
