//! Who is measured: a library, and by what it sends and receives.

use crate::Lab;
use crate::demo::agent::run_dir;
use crate::topology::{ETH, UPLINK};
use crate::transport::Work;

/// One column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Backend {
    /// quinn as it comes, nothing of STOQ on the node.
    Quinn,
    /// The same on a node where STOQ guards the server's port.
    QuinnGuarded,
    /// quinn with a receive buffer of 4 MB, so that bursts do not overflow it.
    QuinnBuffer,
    /// s2n-quic as it comes.
    S2n,
    /// stoq by UDP, datagrams one by one.
    Udp,
    /// stoq by UDP, many datagrams at once.
    UdpGso,
    /// The same, looking for packets before it sleeps.
    UdpSpin,
    /// The server by an AF_XDP socket of the agent's.
    Relay,
    /// The same, looking for packets before it sleeps.
    RelaySpin,
    /// The server by an AF_XDP socket on the node's uplink, with no agent.
    Direct,
    /// stoq as it comes, nothing of STOQ on the node.
    Auto,
    /// The same on a node where STOQ guards the server's port.
    AutoGuarded,
}

impl Backend {
    /// In the order of the table.
    pub(super) const ALL: [Self; 12] = [
        Self::Quinn,
        Self::QuinnGuarded,
        Self::QuinnBuffer,
        Self::S2n,
        Self::Udp,
        Self::UdpGso,
        Self::UdpSpin,
        Self::Relay,
        Self::RelaySpin,
        Self::Direct,
        Self::Auto,
        Self::AutoGuarded,
    ];

    /// As in the names of figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quinn => "quinn",
            Self::QuinnGuarded => "quinn-guarded",
            Self::QuinnBuffer => "quinn-4mb",
            Self::S2n => "s2n",
            Self::Udp => "udp",
            Self::UdpGso => "udp-gso",
            Self::UdpSpin => "udp-spin",
            Self::Relay => "relay",
            Self::RelaySpin => "relay-spin",
            Self::Direct => "direct",
            Self::Auto => "auto",
            Self::AutoGuarded => "auto-guarded",
        }
    }

    /// Whether an agent runs on the node.
    pub(super) fn is_guarded(self) -> bool {
        matches!(
            self,
            Self::QuinnGuarded | Self::Relay | Self::RelaySpin | Self::AutoGuarded
        )
    }

    /// Whether the server is on the node itself, not in the pod.
    pub(super) fn is_on_the_node(self) -> bool {
        self == Self::Direct
    }

    /// Whether the server receives by AF_XDP, or the run is void.
    pub(super) fn is_by_af_xdp(self) -> bool {
        matches!(self, Self::Relay | Self::RelaySpin | Self::Direct)
    }

    /// The server's options.
    pub(super) fn server(self, lab: &Lab) -> Vec<String> {
        let broker = run_dir(lab).join("afxdp.sock");
        let broker = broker.display();
        let way = match self {
            Self::Relay | Self::RelaySpin => format!("broker:{broker}"),
            Self::Auto | Self::AutoGuarded => format!("perhaps:{broker}"),
            Self::Direct => format!("direct:{UPLINK}"),
            _ => "off".to_owned(),
        };
        self.options(way)
    }

    /// The client's. With small requests both ends receive alike; a client that sends in bulk
    /// receives little, and is the same to all servers.
    pub(super) fn client(self, work: Work) -> Vec<String> {
        let way = match work {
            Work::Rpc | Work::Loaded if self.is_by_af_xdp() => format!("direct:{ETH}"),
            _ => "off".to_owned(),
        };
        self.options(way)
    }

    fn options(self, way: String) -> Vec<String> {
        let library = match self {
            Self::Quinn | Self::QuinnGuarded | Self::QuinnBuffer => "quinn",
            Self::S2n => "s2n",
            _ => "stoq",
        };
        let profile = match self {
            Self::UdpSpin | Self::RelaySpin => "latency",
            Self::Auto | Self::AutoGuarded => "auto",
            _ => "throughput",
        };
        let options = ["--library", library, "--profile", profile, "--af-xdp", &way];
        let mut options: Vec<_> = options.map(str::to_owned).into();
        options.extend((self == Self::Udp).then(|| "--no-gso".to_owned()));
        if self == Self::QuinnBuffer {
            options.extend(["--buffer".to_owned(), (4 << 20).to_string()]);
        }
        options
    }
}
