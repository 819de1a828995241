//! What carries packets, and why not something better.

/// What this process could do with eBPF. The type is the same with and without the feature `ebpf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EbpfStatus {
    /// Whether XDP programs can be put onto interfaces, in the driver or in the stack.
    pub xdp_available: bool,
    /// Whether packets can come by AF_XDP: this process can make and bind such sockets, as the gate
    /// `af-xdp` says, or the transport has one from the agent by now.
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
        /// Why nothing faster: the agent's words, if it said something.
        reason: String,
    },
    /// An AF_XDP socket. What no flow was admitted for yet still comes by UDP.
    AfXdp {
        /// Which way packets get into it.
        route: Route,
        /// How they get into its memory.
        copying: Copying,
        /// Why not all is as good as it could be; empty if it is.
        reason: String,
    },
}

/// Which way packets get into an AF_XDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// From the uplink through a pair of devices that is this endpoint's.
    Relay,
    /// From the interface itself.
    Direct,
}

/// How packets get into an AF_XDP socket's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// The kernel copies them.
    Copy,
    /// The device writes them there.
    ZeroCopy,
}
