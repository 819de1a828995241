use ipnet::IpNet;
use stoq_ebpf_abi::maps::{Endpoint, EndpointKey, Policy, TransportName};
use stoq_ebpf_abi::parse::Addr;

/// One write, of one entry. They stand here in the order they are made in: what refers to something comes after it
/// when it appears and before it when it goes, and what is new comes before what is old goes.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tables) enum Step {
    ZeroCounters(u32),
    ZeroHistograms(u32),
    Name(u32, Box<TransportName>),
    ClearActivity(u32),
    PutAddress(u32, Addr),
    PutCidr(u32, IpNet, u32),
    PutPolicy(u32, Policy),
    PutNode(Addr),
    PutEndpoint(EndpointKey, Endpoint),
    RemoveEndpoint(EndpointKey),
    ClearPolicy(u32),
    RemoveCidr(u32, IpNet),
    RemoveHistograms(u32),
    ClearName(u32),
    RemoveNode(Addr),
}

impl Step {
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::ZeroCounters(_) => 0,
            Self::ZeroHistograms(_) => 1,
            Self::Name(..) => 2,
            Self::ClearActivity(_) => 3,
            Self::PutAddress(..) => 4,
            Self::PutCidr(..) => 5,
            Self::PutPolicy(..) => 6,
            Self::PutNode(_) => 7,
            Self::PutEndpoint(..) => 8,
            Self::RemoveEndpoint(_) => 9,
            Self::ClearPolicy(_) => 10,
            Self::RemoveCidr(..) => 11,
            Self::RemoveHistograms(_) => 12,
            Self::ClearName(_) => 13,
            Self::RemoveNode(_) => 14,
        }
    }

    /// Whether it changes the endpoint table.
    pub(in crate::tables) fn is_of_endpoints(&self) -> bool {
        matches!(self, Self::PutEndpoint(..) | Self::RemoveEndpoint(_))
    }

    /// Whether it may make room for what was refused.
    pub(super) fn removes(&self) -> bool {
        matches!(
            self,
            Self::RemoveEndpoint(_)
                | Self::RemoveCidr(..)
                | Self::RemoveHistograms(_)
                | Self::ClearName(_)
                | Self::RemoveNode(_)
        )
    }
}
