//! The packet table: every frame with what must become of it, on the host and
//! under the kernel alike.

mod front_ends;
mod link;
mod quic;
mod sources;
mod tunnels;
mod variants;

use stoq_ebpf_abi::flow::{Flow, flag, state};
use stoq_ebpf_abi::maps::{
    Buckets, Endpoint, EndpointKey, Hook, Policy, budget_index, cidr_flag, endpoint_flag, mode,
    policy_flag,
};

use super::node::{Fate, Node, Prefix};
use super::{addr, udp};

pub(crate) use variants::variants;

pub(crate) const CLIENT: &str = "192.0.2.7:40000";
pub(crate) const CLIENT6: &str = "[2001:db8:7::7]:40000";
/// A QUIC endpoint, on both families.
pub(crate) const SERVER: &str = "198.51.100.1:4433";
pub(crate) const SERVER6: &str = "[2001:db8::1]:4433";
/// A plain UDP endpoint of another transport.
pub(crate) const DNS: &str = "198.51.100.1:5353";
/// A node's address and port that lead to the QUIC endpoint, on both families.
pub(crate) const FRONT: &str = "198.51.100.200:30443";
pub(crate) const FRONT6: &str = "[2001:db8::200]:30443";
/// Nobody's.
pub(crate) const STRANGER: &str = "198.51.100.2:4433";

pub(crate) const DENIED: &str = "203.0.113.5:40000";
pub(crate) const DENIED6: &str = "[2001:db8:bad::5]:40000";
/// In a denied prefix, but allowed by a longer one.
pub(crate) const PARDONED: &str = "203.0.113.77:40000";
/// Over its limits, but exempt from them.
pub(crate) const EXEMPT: &str = "192.0.2.9:40000";
/// Has sent too many packets.
pub(crate) const LOUD: &str = "192.0.2.66:40000";
/// Has sent too many Initials.
pub(crate) const EAGER: &str = "192.0.2.67:40000";
/// A node of the cluster, and denied: what it masqueraded is spared that.
pub(crate) const NODE: &str = "192.0.2.200:40000";
/// Another one, which has sent too many packets.
pub(crate) const BUSY_NODE: &str = "192.0.2.201:40000";
/// Has an established flow.
pub(crate) const ESTABLISHED: &str = "192.0.2.10:40000";
/// Has an answered flow, not established yet.
pub(crate) const ANSWERED: &str = "192.0.2.11:40000";
/// Has an established flow with an endpoint that is none of the table.
pub(crate) const GONE: &str = "192.0.2.12:40000";

/// A bucket that is empty for longer than any test takes, at any clock.
pub(crate) const EMPTY: u64 = u64::MAX / 4;

/// A frame and its fate at both hooks.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) frame: Vec<u8>,
    pub(crate) uplink: Fate,
    pub(crate) pod: Fate,
}

/// All cases, each name once.
pub(crate) fn table() -> Vec<Case> {
    let parts = [
        link::cases(),
        tunnels::cases(),
        quic::cases(),
        sources::cases(),
        front_ends::cases(),
    ];
    parts.concat()
}

/// The same fate at both hooks.
fn case(name: &'static str, frame: Vec<u8>, fate: Fate) -> Case {
    Case {
        name,
        frame,
        uplink: fate,
        pod: fate,
    }
}

/// The frame with one byte changed.
pub(crate) fn patched(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    frame[at] = byte;
    frame
}

/// The node the table speaks of: the guard enforces, no limit is reached but
/// by the sources named above.
pub(crate) fn node() -> Node {
    let mut node = Node::default();
    let front_end = endpoint_flag::QUIC | endpoint_flag::FRONT_END;
    for (transport, id, server, pods, flags) in [
        (0, 1, SERVER, SERVER, endpoint_flag::QUIC),
        (0, 2, SERVER6, SERVER6, endpoint_flag::QUIC),
        (1, 3, DNS, DNS, 0),
        (0, 4, FRONT, SERVER, front_end),
        (0, 5, FRONT6, SERVER6, front_end),
    ] {
        let port = key(pods).port;
        node.endpoints
            .insert(key(server), endpoint(transport, id, port, flags));
        node.policies.insert(transport, policy());
    }
    node.prefixes = prefixes();
    node.nodes.extend([NODE, BUSY_NODE].map(host));
    for hook in Hook::ALL {
        source(&mut node, hook, LOUD, EMPTY, 0);
        source(&mut node, hook, BUSY_NODE, EMPTY, EMPTY);
        source(&mut node, hook, EAGER, 0, EMPTY);
        source(&mut node, hook, EXEMPT, EMPTY, EMPTY);
    }
    let established = flag::ANSWERED | flag::SHORT_IN | flag::SHORT_OUT;
    flow(&mut node, ESTABLISHED, 1, state::ESTABLISHED, established);
    flow(&mut node, ANSWERED, 1, state::HANDSHAKING, flag::ANSWERED);
    flow(&mut node, GONE, 9, state::ESTABLISHED, established);
    node
}

fn policy() -> Policy {
    Policy {
        mode: mode::ENFORCE,
        flags: policy_flag::VALIDATE_INITIAL | policy_flag::CIDR_V4 | policy_flag::CIDR_V6,
        source_packet: 16,
        source_initial: 16,
        unestablished_packet: 16,
        unestablished_initial: 16,
        burst: 16_000_000_000,
        readmit_after: 1_000_000_000,
        source_v4: u32::MAX,
        pad: 0,
        source_v6: [u32::MAX, u32::MAX, 0, 0],
    }
}

fn endpoint(transport: u32, id: u32, port: u32, flags: u32) -> Endpoint {
    Endpoint {
        transport,
        id,
        slot: transport,
        flags,
        owner: 0,
        port,
        pad: 0,
    }
}

fn prefixes() -> Vec<Prefix> {
    let prefix = |address, bits, says| Prefix {
        transport: 0,
        addr: addr(address),
        bits,
        says,
    };
    vec![
        prefix("203.0.113.0", 96 + 24, cidr_flag::DENY),
        prefix("203.0.113.77", 96 + 32, cidr_flag::ALLOW),
        prefix("2001:db8:bad::", 48, cidr_flag::DENY),
        prefix("192.0.2.200", 96 + 32, cidr_flag::DENY),
        prefix("192.0.2.9", 96 + 32, cidr_flag::EXEMPT),
    ]
}

fn source(node: &mut Node, hook: Hook, peer: &str, packets: u64, initials: u64) {
    let key = stoq_ebpf_abi::source::SourceKey {
        budget: budget_index(0, hook),
        addr: host(peer),
    };
    node.sources.insert(key, Buckets { packets, initials });
}

fn flow(node: &mut Node, peer: &str, endpoint: u32, state: u32, flags: u32) {
    let key = stoq_ebpf_abi::maps::FlowKey {
        transport: 0,
        peer: host(peer),
        ports: 40000 << 16 | 4433,
    };
    let mut flow = Flow::begin(endpoint, 1);
    (flow.state, flow.flags) = (state, flags);
    node.flows.insert(key, flow);
}

fn key(server: &str) -> EndpointKey {
    let socket: std::net::SocketAddr = server.parse().unwrap();
    EndpointKey {
        addr: host(server),
        port: socket.port().into(),
    }
}

/// The address of "address:port", in the form of the maps.
pub(crate) fn host(socket: &str) -> stoq_ebpf_abi::parse::Addr {
    let socket: std::net::SocketAddr = socket.parse().unwrap();
    addr(&socket.ip().to_string())
}

/// A well-formed first datagram of a client.
pub(crate) fn hello(source: &str, destination: &str) -> super::Udp {
    udp(source, destination).payload(super::quic::initial().filling(1200))
}
