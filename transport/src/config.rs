//! What a transport is told.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// Everything a transport is told, with the defaults that users of quinn expect.
#[derive(Debug)]
pub struct TransportConfig {
    /// Address and port to listen at. An IPv6 wildcard takes IPv4 too. `[::]:0` by default.
    pub bind: SocketAddr,
    /// What a server shows. Without it nothing is accepted.
    pub identity: Option<Identity>,
    /// Authorities that a server's certificate must lead to. Without any nothing can be connected to.
    pub roots: Vec<CertificateDer<'static>>,
    /// Application protocols, best first. `stoq/1.0` by default.
    pub alpn: Vec<Vec<u8>>,
    /// Silence after which a connection is given up; `None`: never. 30 s by default.
    pub idle_timeout: Option<Duration>,
    /// Time after which something is sent to keep an idle connection alive; `None`, the default: nothing is.
    pub keep_alive: Option<Duration>,
    /// Bytes that may be on their way in one stream before they are read. 1,250,000 by default.
    pub stream_window: u32,
    /// The same for all streams of a connection together; `None`, the default: as much as its streams have.
    pub connection_window: Option<u32>,
    /// Streams of each kind that the peer may have open at once. 100 by default.
    pub streams: u32,
    /// Who decides how much may be on its way. Cubic by default.
    pub congestion: Congestion,
    /// Whether a client may send ([`StoqTransport::connect_early`](crate::StoqTransport::connect_early)),
    /// and a server takes, data before the handshake is done. Such data can
    /// be replayed by an attacker (RFC 9001, 9.2), so it is off by default.
    pub zero_rtt: bool,
    /// Whether a server lets clients change their address. On by default.
    pub migration: bool,
    /// Bytes of unreliable datagrams kept until they are read; `None`: none are taken. 1,250,000 by default.
    pub datagram_buffer: Option<usize>,
    /// Largest UDP payload that is tried on a path, bytes; as far as it gets there, it is used. 1452,
    /// what an Ethernet of 1500 carries in IPv6, by default.
    pub largest_datagram: u16,
    /// Whether the kernel is handed many datagrams at once where it takes them (GSO). On by default.
    pub segmentation_offload: bool,
    /// Who is asked for an AF_XDP socket. The agent, at `/run/stoq/afxdp.sock`, by default; without
    /// the feature `ebpf` nobody is.
    pub af_xdp: AfXdp,
    /// Frames of memory to ask for, one for each packet that may wait: a power of two from 64 to
    /// 65,536. A frame is 2048 bytes, or 4096 if [`largest_datagram`](Self::largest_datagram) needs
    /// that. Above 3770 bytes it fits neither: then everything comes by UDP, but [`AfXdp::Direct`] takes
    /// packets in several frames. 4096, so 8 MiB, by default.
    pub af_xdp_frames: u32,
    /// What the processor's time is spent on. [`Profile::Auto`] by default.
    pub profile: Profile,
}

/// Who is asked for an AF_XDP socket to receive by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfXdp {
    /// Nobody: everything comes by UDP.
    Off,
    /// The node's agent, for the address and port that are bound; with a wildcard for the addresses
    /// that packets are sent from. A port of the kernel's choice belongs to no `StoqTransport`, so
    /// nobody is asked for that.
    Broker {
        /// Its Unix socket.
        socket: PathBuf,
    },
    /// Nobody: this process puts a program onto the interface itself, for which it needs the privileges
    /// of an agent. It goes with the transport. An interface that has another's program is left alone.
    /// An MTU of more than frames hold takes Linux 6.6; before, everything comes by UDP then.
    Direct {
        /// The interface that packets come in by. Those of its first queue come by AF_XDP.
        interface: String,
        /// Where a BPF file system is mounted, `/sys/fs/bpf` as a rule. Nothing stays there.
        bpffs: PathBuf,
    },
}

impl Default for AfXdp {
    fn default() -> Self {
        let socket = PathBuf::from("/run/stoq/afxdp.sock");
        Self::Broker { socket }
    }
}

/// What the processor's time is spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As [`Profile::Throughput`], which takes no processor from anybody.
    #[default]
    Auto,
    /// After a packet was received or sent, looks for the next for 50 us before it sleeps. Meanwhile
    /// a thread of the runtime does little else, so it is for machines with processors to spare.
    Latency,
    /// Sleeps at once when there is nothing.
    Throughput,
}

/// What a server shows.
#[derive(Debug)]
pub struct Identity {
    /// Its certificate, then those that lead to an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The certificate's private key.
    pub key: PrivateKeyDer<'static>,
}

/// Congestion control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// By bandwidth and round-trip time (experimental in quinn).
    Bbr,
    /// RFC 9002, 7.
    NewReno,
}

impl TransportConfig {
    /// What no other part looks at in every build.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let frames = self.af_xdp_frames;
        if frames.is_power_of_two() && (64..=65_536).contains(&frames) {
            return Ok(());
        }
        Err(Error::Config {
            field: "af_xdp_frames",
            reason: format!("{frames}: a power of two from 64 to 65536 is possible"),
        })
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        // 100 ms at 100 Mbit/s, as in quinn.
        const WINDOW: u32 = 1_250_000;
        Self {
            bind: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            identity: None,
            roots: Vec::new(),
            alpn: vec![b"stoq/1.0".to_vec()],
            idle_timeout: Some(Duration::from_secs(30)),
            keep_alive: None,
            stream_window: WINDOW,
            connection_window: None,
            streams: 100,
            congestion: Congestion::default(),
            zero_rtt: false,
            migration: true,
            datagram_buffer: Some(WINDOW as usize),
            largest_datagram: 1452,
            segmentation_offload: true,
            af_xdp: AfXdp::default(),
            af_xdp_frames: 4096,
            profile: Profile::default(),
        }
    }
}
