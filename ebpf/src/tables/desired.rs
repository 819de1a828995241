use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

/// What the maps are to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Transports with endpoints here; where there is no room for all, the first come first.
    pub transports: Vec<DesiredTransport>,
    /// Addresses of all cluster nodes.
    pub nodes: Vec<IpAddr>,
}

/// A transport and its endpoints on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTransport {
    /// `namespace/name`: what its number is kept by.
    pub name: String,
    /// What the guard checks.
    pub policy: PolicySpec,
    /// Whether each endpoint counts for itself.
    pub per_pod_counters: bool,
    /// Its endpoints.
    pub endpoints: Vec<DesiredEndpoint>,
    /// Where packets come in that the node sends on to them; entered after all endpoints of all transports.
    pub front_ends: Vec<DesiredFrontEnd>,
}

/// An address and UDP port of a selected pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesiredEndpoint {
    /// Address.
    pub addr: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Whether the port speaks QUIC; otherwise plain UDP.
    pub quic: bool,
    /// Whether it is guarded and observed at the uplink.
    pub uplink: bool,
    /// Whether, otherwise, the uplink is to leave it to the pod's interface.
    pub pod_alone: bool,
    /// Whether it has a relay and a socket that its admitted flows go to.
    pub steered: bool,
    /// Fingerprint of the pod; an endpoint of another owner is another endpoint.
    pub owner: u64,
}

/// An address and UDP port from which the node sends packets on to a transport's pods. They are steered like those for
/// the pods themselves where an endpoint of the pods' port is, unless their flows are tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesiredFrontEnd {
    /// Address.
    pub addr: IpAddr,
    /// UDP port.
    pub port: u16,
    /// UDP port of the pods.
    pub pod_port: u16,
    /// Whether that port speaks QUIC; otherwise plain UDP.
    pub quic: bool,
    /// Whether the uplink is to leave its packets to the pods' interfaces.
    pub pod_alone: bool,
    /// Whether the uplink tracks its flows, as no pod's interface sees them as they come: their sources are replaced on
    /// the way, or its pods live at the uplink.
    pub tracked: bool,
}

/// What becomes of the guard's verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// None are made.
    Off,
    /// Counted.
    #[default]
    Monitor,
    /// Carried out.
    Enforce,
}

/// Limits of packet rates; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// All packets.
    pub packets_per_second: Option<NonZeroU32>,
    /// QUIC Initials.
    pub initials_per_second: Option<NonZeroU32>,
}

/// What the guard checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// What becomes of its verdicts.
    pub mode: Mode,
    /// Drop first packets no correct client sends.
    pub validate_initial: bool,
    /// Drop QUIC versions other than 1 and 2.
    pub reject_unknown_versions: bool,
    /// The only sources that pass; empty: all.
    pub allow: Vec<IpNet>,
    /// Sources dropped, allowed or not.
    pub deny: Vec<IpNet>,
    /// Sources without limits of their own.
    pub exempt: Vec<IpNet>,
    /// Limits of each source.
    pub source: Rates,
    /// Bits of an IPv4 address that make a source.
    pub source_prefix_v4: u8,
    /// Bits of an IPv6 address that make a source.
    pub source_prefix_v6: u8,
    /// Limits of all packets of no established flow together.
    pub unestablished: Rates,
    /// Depth of every bucket, in time at its rate.
    pub burst: Duration,
    /// For how long a flow that the kernel's path has accepted may go past it.
    pub readmit_after: Duration,
}

impl Default for PolicySpec {
    /// Nothing is checked; the CRD's defaults where there is something to choose.
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            validate_initial: false,
            reject_unknown_versions: false,
            allow: Vec::new(),
            deny: Vec::new(),
            exempt: Vec::new(),
            source: Rates::default(),
            source_prefix_v4: 32,
            source_prefix_v6: 64,
            unestablished: Rates::default(),
            burst: Duration::from_secs(1),
            readmit_after: Duration::from_secs(1),
        }
    }
}
