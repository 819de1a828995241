use std::net::IpAddr;

/// What became of what was desired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Transports, in the order they were desired.
    pub transports: Vec<AppliedTransport>,
    /// Node addresses there was no room for.
    pub nodes_left_out: usize,
    /// Slots without histograms, for want of kernel memory; their counters count.
    pub without_histograms: Vec<u32>,
    /// Entries written or removed.
    pub writes: usize,
}

/// A transport as the maps hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedTransport {
    /// `namespace/name`.
    pub name: String,
    /// Its number and the slot of its counters; `None` if it was refused as a whole.
    pub index: Option<u32>,
    /// Its endpoints, those that were refused left out.
    pub endpoints: Vec<AppliedEndpoint>,
    /// What was refused.
    pub refusals: Vec<Refusal>,
}

impl AppliedTransport {
    /// The slots that together count all its traffic, each once.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        let own = self.endpoints.iter().map(|endpoint| endpoint.slot);
        let own = own.filter(|slot| Some(*slot) != self.index);
        self.index.into_iter().chain(own)
    }
}

/// An endpoint as the maps hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedEndpoint {
    /// Address.
    pub addr: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Its id, by which flows and activity name it.
    pub id: u32,
    /// Slot of its counters: its transport's, or its own.
    pub slot: u32,
}

/// What the maps have no room for, or cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The transport has no number: none of it is in force.
    #[error("more than {limit} transports on this node")]
    Transports {
        /// Most there can be.
        limit: u32,
    },
    /// The name is empty or too long: none of the transport is in force.
    #[error("name {name:?}: not between 1 and {limit} bytes")]
    Name {
        /// The name.
        name: String,
        /// Longest there can be.
        limit: usize,
    },
    /// Its CIDRs do not fit: its last policy stays in force, for a new one that is none.
    #[error("{needed} more {family} prefixes, room for {room} on this node")]
    Cidrs {
        /// Which table is full.
        family: Family,
        /// Prefixes to add.
        needed: usize,
        /// Prefixes that may be added.
        room: usize,
    },
    /// The endpoint is neither guarded nor observed.
    #[error("endpoint {addr} port {port}: more than {limit} endpoints on this node")]
    Endpoints {
        /// Address.
        addr: IpAddr,
        /// UDP port.
        port: u16,
        /// Most there can be.
        limit: u32,
    },
    /// Another transport that comes first has the endpoint.
    #[error("endpoint {addr} port {port}: taken by {by}")]
    Taken {
        /// Address.
        addr: IpAddr,
        /// UDP port.
        port: u16,
        /// `namespace/name` of the other.
        by: String,
    },
    /// The endpoint counts in its transport's slot, not for itself.
    #[error("endpoint {addr} port {port}: more than {limit} endpoints with counters of their own")]
    Slots {
        /// Address.
        addr: IpAddr,
        /// UDP port.
        port: u16,
        /// Most there can be.
        limit: u32,
    },
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Version 4.
    V4,
    /// Version 6.
    V6,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
