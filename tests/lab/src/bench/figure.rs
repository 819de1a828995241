//! The promised figures and their targets.

use clap::ValueEnum;

/// One promised figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Figure {
    /// Drop rate of the guard in the driver, relative to a program that only drops.
    #[value(name = "guard.drop/bare")]
    DropBare,
    /// The same, relative to an nftables rule in prerouting, at raw priority.
    #[value(name = "guard.drop/nft-prerouting")]
    DropPrerouting,
    /// The same, relative to an nftables rule at the device's ingress.
    #[value(name = "guard.drop/nft-ingress")]
    DropIngress,
    /// The same, relative to the guard's own checks and limits in nftables, in prerouting.
    #[value(name = "guard.drop/nft-guard-prerouting")]
    DropGuardPrerouting,
    /// The same, relative to those at the device's ingress.
    #[value(name = "guard.drop/nft-guard-ingress")]
    DropGuardIngress,
    /// What the guard adds to a packet of the only established flow.
    #[value(name = "guard.accept_ns@1")]
    Accept1,
    /// What it adds when every packet is of another of 50,000 established flows.
    #[value(name = "guard.accept_ns@50000")]
    Accept50000,
    /// What it adds with every check and limit there is, one flow.
    #[value(name = "guard.accept_full_ns@1")]
    AcceptFull1,
    /// TCP between pods of one node, with STOQ at their interfaces and without.
    #[value(name = "pod.tcp/none")]
    PodTcp,
    /// QUIC between pods of one node, likewise.
    #[value(name = "pod.quic/none")]
    PodQuic,
    /// Packets of 64 bytes that one thread receives through a relay, relative to UDP.
    #[value(name = "ratio.receive.64.relay")]
    Receive64Relay,
    /// What each costs it, likewise.
    #[value(name = "ratio.receive.64.relay-cpu")]
    Receive64RelayCpu,
    /// Those that it receives from the uplink itself, relative to UDP.
    #[value(name = "ratio.receive.64.direct")]
    Receive64Direct,
    /// What each costs it, likewise.
    #[value(name = "ratio.receive.64.direct-cpu")]
    Receive64DirectCpu,
    /// Packets of 1200 bytes that one thread receives through a relay, relative to UDP.
    #[value(name = "ratio.receive.1200.relay")]
    Receive1200Relay,
    /// What each costs it, likewise.
    #[value(name = "ratio.receive.1200.relay-cpu")]
    Receive1200RelayCpu,
    /// Those that it receives from the uplink itself, relative to UDP.
    #[value(name = "ratio.receive.1200.direct")]
    Receive1200Direct,
    /// What each costs it, likewise.
    #[value(name = "ratio.receive.1200.direct-cpu")]
    Receive1200DirectCpu,
}

/// What a figure promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Figure {
    /// Its name, as in `--only` and in `target/bench.json`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DropBare => "guard.drop/bare",
            Self::DropPrerouting => "guard.drop/nft-prerouting",
            Self::DropIngress => "guard.drop/nft-ingress",
            Self::DropGuardPrerouting => "guard.drop/nft-guard-prerouting",
            Self::DropGuardIngress => "guard.drop/nft-guard-ingress",
            Self::Accept1 => "guard.accept_ns@1",
            Self::Accept50000 => "guard.accept_ns@50000",
            Self::AcceptFull1 => "guard.accept_full_ns@1",
            Self::PodTcp => "pod.tcp/none",
            Self::PodQuic => "pod.quic/none",
            Self::Receive64Relay => "ratio.receive.64.relay",
            Self::Receive64RelayCpu => "ratio.receive.64.relay-cpu",
            Self::Receive64Direct => "ratio.receive.64.direct",
            Self::Receive64DirectCpu => "ratio.receive.64.direct-cpu",
            Self::Receive1200Relay => "ratio.receive.1200.relay",
            Self::Receive1200RelayCpu => "ratio.receive.1200.relay-cpu",
            Self::Receive1200Direct => "ratio.receive.1200.direct",
            Self::Receive1200DirectCpu => "ratio.receive.1200.direct-cpu",
        }
    }

    /// `ns` or `ratio`.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Accept1 | Self::Accept50000 | Self::AcceptFull1 => "ns",
            _ => "ratio",
        }
    }

    /// What its median has to reach.
    pub(super) fn target(self) -> Target {
        match self {
            Self::DropBare => Target::AtLeast(0.7),
            Self::DropPrerouting
            | Self::DropIngress
            | Self::DropGuardPrerouting
            | Self::DropGuardIngress => Target::AtLeast(3.0),
            Self::Accept1 => Target::AtMost(80.0),
            Self::Accept50000 => Target::None,
            Self::AcceptFull1 => Target::AtMost(120.0),
            Self::PodTcp | Self::PodQuic => Target::AtLeast(0.97),
            Self::Receive64Relay | Self::Receive1200Relay => Target::AtLeast(1.6),
            Self::Receive64RelayCpu | Self::Receive1200RelayCpu => Target::AtMost(0.5),
            Self::Receive64Direct | Self::Receive1200Direct => Target::AtLeast(1.9),
            Self::Receive64DirectCpu | Self::Receive1200DirectCpu => Target::AtMost(0.4),
        }
    }

    /// What is run and compared.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::DropBare => "demo flood from one CPU: stoq_uplink (native XDP) / bare XDP_DROP",
            Self::DropPrerouting => {
                "demo flood from one CPU: stoq_uplink / nft prerouting raw, udp dport drop"
            }
            Self::DropIngress => {
                "demo flood from one CPU: stoq_uplink / nft netdev ingress, udp dport drop"
            }
            Self::DropGuardPrerouting => {
                "demo flood from one CPU: stoq_uplink / nft prerouting raw, the same checks and limits"
            }
            Self::DropGuardIngress => {
                "demo flood from one CPU: stoq_uplink / nft netdev ingress, the same checks and limits"
            }
            Self::Accept1 => "test run x1000000: stoq_uplink - bare XDP_PASS, one flow",
            Self::Accept50000 => {
                "test run x1000000, each packet of another flow: stoq_uplink - bare XDP_PASS"
            }
            Self::AcceptFull1 => "test run x1000000: stoq_uplink, all checks - bare XDP_PASS",
            Self::PodTcp => "one TCP stream, pod to pod: TCX at both host sides / nothing there",
            Self::PodQuic => {
                "one QUIC connection (quinn, GSO), pod to pod: TCX at both host sides / nothing there"
            }
            Self::Receive64Relay | Self::Receive1200Relay => {
                "one flow from one CPU, packets/s of one receiver: AF_XDP by a relay / recvmmsg without STOQ"
            }
            Self::Receive64Direct | Self::Receive1200Direct => {
                "one flow from one CPU, packets/s of one receiver: AF_XDP on the uplink / recvmmsg without STOQ"
            }
            Self::Receive64RelayCpu | Self::Receive1200RelayCpu => {
                "the same, the receiver's CPU time per packet: AF_XDP by a relay / recvmmsg"
            }
            Self::Receive64DirectCpu | Self::Receive1200DirectCpu => {
                "the same, the receiver's CPU time per packet: AF_XDP on the uplink / recvmmsg"
            }
        }
    }
}

impl Target {
    /// Whether this value will do.
    pub(super) fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_asked_for_by_its_name() {
        for figure in Figure::value_variants() {
            assert_eq!(Figure::from_str(figure.name(), false), Ok(*figure));
        }
    }

    #[test]
    fn targets_are_met_at_their_edge() {
        let cases = [
            (Target::AtLeast(0.7), 0.7, true),
            (Target::AtLeast(0.7), 0.69, false),
            (Target::AtMost(80.0), 80.0, true),
            (Target::AtMost(80.0), 80.1, false),
            (Target::None, 1e9, true),
        ];
        for (target, value, met) in cases {
            assert_eq!(target.met(value), met, "{target:?} {value}");
        }
    }
}
