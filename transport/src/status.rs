//! What carries packets, and why not something better.

/// What this process could do with eBPF. The type is the same with and without the feature `ebpf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EbpfStatus {
    /// Whether XDP programs can be put into drivers.
    pub xdp_available: bool,
    /// Whether AF_XDP sockets can be made and bound.
    pub af_xdp_available: bool,
    /// Every capability that was tried, and what the kernel said to it.
    pub gates: Vec<Gate>,
}

/// One capability of the kernel, found by trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name, as `stoq-agent probe` prints it.
    pub name: String,
    /// Whether it is open.
    pub state: GateState,
}

/// Whether a gate is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateState {
    /// It was done.
    Available,
    /// It was tried and refused.
    Unavailable {
        /// The stable reason.
        reason: String,
        /// The kernel's words.
        message: String,
    },
    /// It could not be tried.
    Unknown {
        /// The stable reason.
        reason: String,
        /// The kernel's words.
        message: String,
    },
}

/// What packets are received by. They are sent by UDP in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernel's UDP socket.
    Udp {
        /// Why nothing faster.
        reason: String,
    },
}
