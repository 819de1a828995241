//! Every metric family: name, type, labels, help and meaning.

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// Name, with unit and suffix as Prometheus wants them.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Whose value it is.
    pub scope: Scope,
    /// Labels beside those of the scope.
    pub labels: &'static [&'static str],
    /// One line, shown with the metric.
    pub help: &'static str,
    /// What else a reader must know; may be empty.
    pub meaning: &'static str,
}

/// Type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, until the agent's state is removed.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values by size.
    Histogram,
}

impl Kind {
    /// Prometheus' word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What one series of a family stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A transport, by its tier: `namespace` and `transport`, with `Pod` also `pod`, with `Node` none of them.
    Transport,
    /// The node.
    Node,
}

const fn traffic(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    meaning: &'static str,
) -> Family {
    let scope = Scope::Transport;
    Family {
        name,
        kind,
        scope,
        labels,
        help,
        meaning,
    }
}

const fn node(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    meaning: &'static str,
) -> Family {
    let scope = Scope::Node;
    Family {
        name,
        kind,
        scope,
        labels,
        help,
        meaning,
    }
}

macro_rules! families {
    ($($id:ident = $family:expr;)*) => {
        $(pub(super) const $id: Family = $family;)*
        /// All families.
        pub const ALL: &[Family] = &[$($id),*];
    };
}

families! {
    PACKETS = traffic(
        "stoq_packets_total", Kind::Counter, &["direction"],
        "UDP datagrams that passed the guard, to (in) and from (out) the pods.",
        "Each segment of an offloaded frame counts. Each direction of an endpoint is counted at one place only.",
    );
    BYTES = traffic(
        "stoq_bytes_total", Kind::Counter, &["direction"],
        "Bytes of UDP payload that passed the guard.",
        "Without Ethernet, IP and UDP headers: add 42 bytes a packet (IPv4) for what is on the wire.",
    );
    DROPPED = traffic(
        "stoq_dropped_packets_total", Kind::Counter, &["hook", "reason"],
        "Packets the guard dropped.",
        "`hook` is `uplink` or `pod`: where it was dropped, which changes the cost and not the verdict.",
    );
    WOULD_DROP = traffic(
        "stoq_would_drop_packets_total", Kind::Counter, &["hook", "reason"],
        "Packets the guard would have dropped, with filter mode Monitor.",
        "They passed.",
    );
    SIZE = traffic(
        "stoq_packet_size_bytes", Kind::Histogram, &[],
        "Sizes of UDP datagrams both ways, bytes of UDP payload.",
        "`le` is the largest size that the bucket holds.",
    );
    QUIC_PACKETS = traffic(
        "stoq_quic_packets_total", Kind::Counter, &["type"],
        "QUIC packets by type, both ways.",
        "Every packet of a datagram counts, so the sum is above `stoq_packets_total` where packets are coalesced. \
         `other` is a long header of an unknown version, or one cut short.",
    );
    CONNECTIONS = traffic(
        "stoq_quic_connections", Kind::Gauge, &["state"],
        "Connections known now, by state.",
        "`handshaking`: a client Initial passed. `established`: short headers went both ways. `idle`: established, \
         then silent for 30 s. Connections of one client address and port with one endpoint at the same time \
         can't be told apart without keys and count as one. For `protocol: UDP` a flow answered is established.",
    );
    CONNECTION_EVENTS = traffic(
        "stoq_quic_connections_total", Kind::Counter, &["event"],
        "What became of connections: opened, established, idle, evicted.",
        "`evicted`: forgotten after 5 min of silence, or to make room for newer ones.",
    );
    HANDSHAKE = traffic(
        "stoq_quic_handshake_seconds", Kind::Histogram, &[],
        "From a client's Initial to its first short-header packet.",
        "As long as it takes the client, for both packets come the same way. A handshake is measured only where it can \
         be told apart from others of the same client address and port.",
    );
    RTT = traffic(
        "stoq_quic_rtt_seconds", Kind::Histogram, &[],
        "Round-trip time from the spin bit.",
        "There are samples only where both peers spin; where one does not, there is no invented number. A round trip \
         that waits for the application is as long as the wait: the spin bit overestimates connections that do not \
         send without pause.",
    );
    AF_XDP_SESSIONS = traffic(
        "stoq_afxdp_sessions", Kind::Gauge, &[],
        "Pods' endpoints that have an AF_XDP socket now.",
        "Per transport whatever its tier, as are the next three.",
    );
    AF_XDP_MEMORY = traffic(
        "stoq_afxdp_umem_bytes", Kind::Gauge, &[],
        "Memory of these sockets, shared with their pods.",
        "",
    );
    AF_XDP_PACKETS = traffic(
        "stoq_afxdp_packets_total", Kind::Counter, &[],
        "Packets that came out of relays, for sockets or, where one had just gone, for the host.",
        "Looked at once a second. They are in `stoq_packets_total` as well.",
    );
    AF_XDP_DROPPED = traffic(
        "stoq_afxdp_dropped_total", Kind::Counter, &["reason"],
        "Packets that came out of relays and were lost.",
        "`no_room`: the pod had offered no free frame, or its ring was full. It is too slow, or has stopped: after a \
         second without any its packets go to the kernel.",
    );
    AF_XDP_EVENTS = node(
        "stoq_afxdp_session_events_total", Kind::Counter, &["event", "reason"],
        "What became of pods that asked for an AF_XDP socket.",
        "`granted`, `resumed` after a restart of the agent, `refused`, `stuck` for a second, `ended`. `reason` is why one \
         was refused, empty otherwise; the agent's log says who, a line a second for each reason.",
    );
    UNPARSED = node(
        "stoq_unparsed_packets_total", Kind::Counter, &["hook", "reason"],
        "Packets that may be UDP but were left to the kernel unjudged.",
        "They pass: fragments, headers that contradict themselves, too many extension headers.",
    );
    CAPABILITY = node(
        "stoq_node_capability", Kind::Gauge, &["capability", "interface"],
        "1 if the node can do it, 0 if it cannot or that is unknown.",
        "Found by doing it. `interface` is empty for what concerns the whole node. `stoq-agent probe` says why not.",
    );
    MODE = node(
        "stoq_effective_mode", Kind::Gauge, &["namespace", "transport", "mode", "reason"],
        "The rung in force for a transport: 1.",
        "Best first: `Native`, `Generic`, `Tcx`, `Clsact`, `None`. `reason` says why it is not a better one.",
    );
    ATTACHED = node(
        "stoq_attached_programs", Kind::Gauge, &["interface", "hook", "mode"],
        "Programs of STOQ on an interface.",
        "",
    );
    RUN_SECONDS = node(
        "stoq_bpf_run_seconds_total", Kind::Counter, &["program"],
        "Time the kernel spent in a program.",
        "Only while the sysctl `kernel.bpf_stats_enabled` is 1, which has a price per packet.",
    );
    RUNS = node(
        "stoq_bpf_runs_total", Kind::Counter, &["program"],
        "Runs of a program.",
        "As above.",
    );
    MEMORY = node(
        "stoq_bpf_memory_bytes", Kind::Gauge, &[],
        "Kernel memory of STOQ's maps and programs.",
        "",
    );
    RECONCILE = node(
        "stoq_reconcile_seconds", Kind::Histogram, &[],
        "Duration of the agent's passes: observe, plan, apply, report.",
        "One bucket per power of two.",
    );
    RECONCILE_ERRORS = node(
        "stoq_reconcile_errors_total", Kind::Counter, &["step"],
        "Passes in which a step did not succeed.",
        "The next pass tries again; what is wrong stands in `stoq-agent status`.",
    );
    BUILD = node(
        "stoq_build_info", Kind::Gauge, &["version"],
        "The agent's version: 1.",
        "",
    );
    PROCESS_CPU = node(
        "process_cpu_seconds_total", Kind::Counter, &[],
        "User and system CPU time of the agent.",
        "Not that of the BPF programs.",
    );
    PROCESS_RESIDENT = node(
        "process_resident_memory_bytes", Kind::Gauge, &[],
        "Resident memory of the agent.",
        "",
    );
    PROCESS_VIRTUAL = node(
        "process_virtual_memory_bytes", Kind::Gauge, &[],
        "Virtual memory of the agent.",
        "",
    );
    PROCESS_THREADS = node(
        "process_threads", Kind::Gauge, &[],
        "Threads of the agent.",
        "",
    );
    PROCESS_FDS = node(
        "process_open_fds", Kind::Gauge, &[],
        "Open file descriptors of the agent.",
        "",
    );
    PROCESS_MAX_FDS = node(
        "process_max_fds", Kind::Gauge, &[],
        "Most file descriptors the agent may open.",
        "Absent where there is no limit.",
    );
    PROCESS_START = node(
        "process_start_time_seconds", Kind::Gauge, &[],
        "When the agent started, seconds since 1970.",
        "",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            let total = family.name.ends_with("_total");
            assert_eq!(total, family.kind == Kind::Counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }
}
