//! AF_XDP for real: what the uplink's program takes in reaches a socket through a relay.

#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

#[path = "af_xdp/front_ends.rs"]
mod front_ends;
#[path = "../abi/tests/packets/mod.rs"]
mod packets;
mod support;

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData, MapError};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, XdpMode};
use packets::quic::short;
use packets::udp;
use stoq_ebpf::af_xdp::{
    Counts, Geometry, Mode as Copying, Receiver, Rings, Socket, Statistics, Umem,
};
use stoq_ebpf::direct::{Direct, DirectError, Wanted};
use stoq_ebpf::kernel::after_a_tick;
use stoq_ebpf::loader::{self, Loaded, Options, Pins};
use stoq_ebpf::relay::{Relay, Steering};
use stoq_ebpf::stats::Stats;
use stoq_ebpf::sys::program;
use stoq_ebpf::tables::{
    AppliedEndpoint, Desired, DesiredEndpoint, DesiredTransport, PolicySpec, Tables, addr,
};
use stoq_ebpf::xdp::XdpMode::Native;
use stoq_ebpf_abi::flow::{Flow, flag, state};
use stoq_ebpf_abi::maps::{FlowKey, RELAY_MAC};
use support::{Scratch, in_scratch, ip};

const CLIENT: &str = "192.0.2.9:40000";
const SERVER: &str = "10.0.0.1:4433";
/// A client and the server of each family.
const BOTH: [(&str, &str); 2] = [
    (CLIENT, SERVER),
    ("[2001:db8::9]:40000", "[fd00:10::1]:4433"),
];
const RINGS: Rings = Rings {
    fill: 64,
    receive: 64,
};

/// A node whose one endpoint has a relay.
struct Node {
    client: SocketAddr,
    loaded: Loaded,
    tables: Tables,
    steering: Steering,
    stats: Stats,
    flows: HashMap<MapData, FlowKey, Flow>,
    endpoint: AppliedEndpoint,
    relay: Relay,
}

impl Node {
    fn up(scratch: &Scratch) -> Self {
        Self::of(scratch, &desired())
    }

    /// One whose endpoint is this server.
    fn between(scratch: &Scratch, client: &str, server: &str) -> Self {
        let mut desired = desired();
        let server: SocketAddr = server.parse().unwrap();
        desired.transports[0].endpoints[0].addr = server.ip();
        Self {
            client: client.parse().unwrap(),
            ..Self::of(scratch, &desired)
        }
    }

    /// One that has the relay of the first endpoint.
    fn of(scratch: &Scratch, desired: &Desired) -> Self {
        let pins = Pins::new(&scratch.bpffs);
        let mut loaded = loader::load(&pins, &Options::default()).unwrap();
        let mut tables = Tables::open(&pins.maps()).unwrap();
        let applied = tables.apply(desired).unwrap();
        let endpoint = applied.transports[0].endpoints[0];
        let relay = Relay::ensure(endpoint.id, 1500).unwrap();
        let program = loaded.xdp("stoq_relay").unwrap();
        program.attach(&relay.far.name, XdpMode::Driver).unwrap();
        after_a_tick();
        Self {
            client: CLIENT.parse().unwrap(),
            loaded,
            tables,
            steering: Steering::open(&pins.maps()).unwrap(),
            stats: Stats::open(&pins.maps()).unwrap(),
            flows: open(&pins.maps(), "STOQ_FLOWS"),
            endpoint,
            relay,
        }
    }

    fn receiver(&mut self) -> Receiver {
        let umem = Umem::create(Geometry::new(64, 2048).unwrap()).unwrap();
        let socket = Socket::new().unwrap();
        socket.register(&umem).unwrap();
        socket.make_rings(RINGS).unwrap();
        socket.bind(self.relay.far.index, 0, Copying::Copy).unwrap();
        self.steering.connect(&self.relay, &socket).unwrap();
        Receiver::open(socket, umem, RINGS).unwrap()
    }

    /// The kernel's path has accepted the client's flow until then, ns.
    fn admit(&mut self, until: u64) {
        self.admit_of(0, until);
    }

    /// The same of a flow of another transport that names this endpoint.
    fn admit_of(&mut self, transport: u32, until: u64) {
        let flow = Flow {
            endpoint: self.endpoint.id,
            state: state::ESTABLISHED,
            flags: flag::ANSWERED | flag::SHORT_IN | flag::SHORT_OUT,
            admitted_until: until,
            ..Flow::default()
        };
        self.flows.insert(self.key(transport), flow, 0).unwrap();
    }

    /// Of the client's flow.
    fn key(&self, transport: u32) -> FlowKey {
        FlowKey {
            transport,
            peer: addr::to_wire(self.client.ip()),
            ports: u32::from(self.client.port()) << 16 | 4433,
        }
    }

    /// The uplink's program on as many live copies of the frame.
    fn take_in(&mut self, frame: &[u8], copies: u32) {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: copies,
            attrs: TestRunAttrs::new().xdp_live_frames(16),
            ..TestRunOptions::default()
        };
        let program = self.loaded.xdp("stoq_uplink").unwrap();
        program.test_run(options).unwrap();
    }

    fn observed(&self) -> u64 {
        self.counted(self.endpoint.slot)
    }

    fn counted(&self, slot: u32) -> u64 {
        self.stats.read(slot).unwrap().counters.packets[0]
    }

    /// Waits until the relay has handed so many more frames to the host.
    fn wait_for_host(&self, before: u64, frames: u64) {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let handed = packets_out_of(&self.relay) - before;
            if handed >= frames {
                return;
            }
            assert!(Instant::now() < until, "{handed}");
        }
    }
}

fn open<M: TryFrom<Map, Error = MapError>>(maps: &Path, name: &str) -> M {
    let map = MapData::from_pin(maps.join(name)).and_then(Map::from_map_data);
    map.and_then(M::try_from).unwrap()
}

fn desired() -> Desired {
    let endpoint = DesiredEndpoint {
        addr: "10.0.0.1".parse().unwrap(),
        port: 4433,
        quic: true,
        uplink: false,
        pod_alone: false,
        steered: true,
        owner: 1,
    };
    Desired {
        transports: vec![DesiredTransport {
            name: "default/edge".to_owned(),
            policy: PolicySpec::default(),
            per_pod_counters: true,
            endpoints: vec![endpoint],
            front_ends: vec![],
        }],
        nodes: vec![],
    }
}

/// All that comes within a while, until there are as many.
fn receive(receiver: &mut Receiver, packets: usize) -> Vec<Vec<u8>> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut all = Vec::new();
    while all.len() < packets && Instant::now() < until {
        receiver.receive(packets, |packet| {
            let mut bytes = vec![0; packet.len()];
            assert!(packet.copy_to(0, &mut bytes));
            all.push(bytes);
        });
        std::thread::yield_now();
    }
    all
}

fn packets_out_of(relay: &Relay) -> u64 {
    let text = ip(&format!("-s -j link show {}", relay.far.name));
    let (_, rx) = text.split_once("\"rx\":").unwrap();
    let (_, packets) = rx.split_once("\"packets\":").unwrap();
    packets.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn an_admitted_flow_reaches_the_socket_byte_for_byte() {
    for (client, server) in BOTH {
        in_scratch(|scratch| {
            let mut node = Node::between(scratch, client, server);
            let mut receiver = node.receiver();
            node.admit(u64::MAX);
            let frame = udp(client, server).payload(short(false, 700)).frame();
            // More than the rings hold: frames go round.
            for round in 1..=10 {
                node.take_in(&frame, 48);
                let got = receive(&mut receiver, 48);
                assert_eq!(got.len(), 48, "round {round}: {:?}", receiver.statistics());
                for bytes in got {
                    assert_eq!(bytes[..6], RELAY_MAC);
                    assert_eq!(bytes[6..], frame[6..]);
                }
            }
            let expected = Counts {
                packets: 480,
                bytes: 480 * frame.len() as u64,
                strange: 0,
            };
            assert_eq!(receiver.counts(), expected);
            assert_eq!(node.observed(), 480, "once each, at the relay");
            assert_eq!(receiver.mode().unwrap(), Copying::Copy);
            node.relay.remove().unwrap();
        });
    }
}

#[test]
fn what_was_not_admitted_or_no_longer_goes_to_the_kernel() {
    for ((client, server), stranger, elsewhere) in [
        (BOTH[0], "192.0.2.77:1", "10.0.0.1:80"),
        (BOTH[1], "[2001:db8::77]:1", "[fd00:10::1]:80"),
    ] {
        in_scratch(|scratch| {
            let mut node = Node::between(scratch, client, server);
            let mut receiver = node.receiver();
            let frame = |from, to| udp(from, to).payload(short(false, 700)).frame();
            let mine = frame(client, server);
            node.take_in(&mine, 16);
            node.admit(1);
            node.take_in(&mine, 16);
            node.admit(u64::MAX);
            node.take_in(&frame(stranger, server), 16);
            node.take_in(&frame(client, elsewhere), 16);
            node.take_in(&mine, 16);
            assert_eq!(receive(&mut receiver, 16).len(), 16);
            assert_eq!(receiver.counts().packets, 16, "the last alone");
            assert_eq!(receiver.receive(1, |_| ()), 0);
        });
    }
}

#[test]
fn with_no_socket_behind_it_a_relay_hands_frames_to_the_host() {
    for (client, server) in BOTH {
        in_scratch(|scratch| {
            let mut node = Node::between(scratch, client, server);
            let receiver = node.receiver();
            node.admit(u64::MAX);
            let frame = udp(client, server).payload(short(false, 700)).frame();
            drop(receiver);
            let before = packets_out_of(&node.relay);
            node.take_in(&frame, 32);
            node.wait_for_host(before, 32);
            assert_eq!(node.observed(), 0, "the pod's interface does that");
        });
    }
}

#[test]
fn a_relay_has_no_route_and_no_address_that_it_made_up() {
    in_scratch(|_| {
        let relay = Relay::ensure(7, 1500).unwrap();
        for end in [&relay.near.name, &relay.far.name] {
            for family in ["-4", "-6"] {
                let routes = ip(&format!("{family} route show table main dev {end}"));
                assert_eq!(routes, "", "{end}");
            }
            assert_eq!(ip(&format!("-6 addr show dev {end}")), "", "{end}");
            let link = ip(&format!("-d link show dev {end}"));
            assert!(link.contains("addrgenmode none"), "{link}");
        }
        assert_eq!(ip("-4 addr show dev stoq7a"), "");
        let far = ip("-4 -br addr show dev stoq7b");
        assert_eq!(
            far.split_whitespace().skip(2).collect::<Vec<_>>(),
            ["169.254.220.7/32"]
        );
    });
}

#[test]
fn a_relay_says_where_the_host_takes_no_ipv6() {
    in_scratch(|_| {
        let [v4, v6] = BOTH.map(|(_, server)| server.parse::<SocketAddr>().unwrap().ip());
        let relay = Relay::ensure(7, 1500).unwrap();
        assert_eq!(
            (relay.hands_over(v4), relay.hands_over(v6)),
            (Ok(()), Ok(()))
        );
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let later = Relay::ensure(8, 1500).unwrap();
        assert_eq!(later.hands_over(v4), Ok(()));
        let refused = later.hands_over(v6).unwrap_err();
        assert_eq!(refused.errno, rustix::io::Errno::AFNOSUPPORT);
        assert_eq!(relay.hands_over(v6), Ok(()), "made before");
    });
}

#[test]
fn a_bound_socket_can_neither_send_nor_be_bound_to_anything_else() {
    in_scratch(|scratch| {
        let mut node = Node::up(scratch);
        let receiver = node.receiver();
        let socket = Socket::from(receiver.as_fd().try_clone_to_owned().unwrap());
        let near = support::near();
        assert!(socket.bind(near.index, 0, Copying::Copy).is_err());
        let umem = Umem::create(Geometry::new(64, 2048).unwrap()).unwrap();
        assert!(socket.register(&umem).is_err());
        assert!(socket.make_rings(RINGS).is_err());
    });
}

#[test]
fn a_relay_is_taken_over_and_a_stranger_s_device_left_alone() {
    in_scratch(|_| {
        let relay = Relay::ensure(7, 1500).unwrap();
        assert_eq!(Relay::ensure(7, 1500).unwrap(), relay);
        relay.remove().unwrap();
        relay.remove().unwrap();
        // As an agent leaves it that is killed in between.
        ip("link add stoq9a type veth peer name stoq9b");
        assert_eq!(Relay::ensure(9, 1500).unwrap().near.alias, "stoq");
        ip("link add stoq8a type veth peer name other");
        let refused = Relay::ensure(8, 1500).unwrap_err();
        assert_eq!(refused.errno, rustix::io::Errno::EXIST);
        ip("link show stoq8a");
    });
}

const DIRECT: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    4433,
);

/// The endpoint is at `near`; what `far` sends comes in there.
fn wanted(scratch: &Scratch) -> Wanted<'_> {
    Wanted {
        interface: "near",
        endpoints: &[DIRECT],
        geometry: Geometry::new(64, 2048).unwrap(),
        rings: RINGS,
        bpffs: &scratch.bpffs,
    }
}

#[test]
fn an_interface_s_packets_for_one_endpoint_are_received_directly() {
    in_scratch(|scratch| {
        let (direct, mut receiver) = Direct::open(&wanted(scratch)).unwrap();
        let names = std::fs::read_dir(&scratch.bpffs).unwrap().flatten();
        let names: Vec<_> = names
            .map(|one| one.file_name().into_string().unwrap())
            .collect();
        assert!(!names.iter().any(|name| name.contains("stoq")), "{names:?}");
        ip("addr add 10.0.0.2/24 dev far");
        ip("neigh add 10.0.0.1 lladdr 02:00:00:00:00:07 dev far nud permanent");
        let client = std::net::UdpSocket::bind("10.0.0.2:0").unwrap();
        for (port, payload) in [(4433, b"one"), (80, b"two"), (4433, b"six")] {
            client.send_to(payload, ("10.0.0.1", port)).unwrap();
        }
        let got = receive(&mut receiver, 2);
        let payloads: Vec<_> = got.iter().map(|frame| &frame[42..45]).collect();
        assert_eq!(payloads, [b"one", b"six"]);
        drop(direct);
        assert!(support::near().xdp.is_empty());
        client.send_to(b"ten", "10.0.0.1:4433").unwrap();
        assert_eq!(receiver.receive(1, |_| ()), 0);
    });
}

/// Datagrams of these sizes from `far`, a few times; all are received in whole.
fn all_sizes_arrive(wanted: &Wanted<'_>) {
    const SIZES: [usize; 6] = [8900, 64, 3700, 4000, 1, 6500];
    let (_direct, mut receiver) = Direct::open(wanted).unwrap();
    let client = std::net::UdpSocket::bind("10.0.0.2:0").unwrap();
    for round in 0..50 {
        let payload = |size| -> Vec<u8> { (0..size).map(|at| (at * 7 + round) as u8).collect() };
        for size in SIZES {
            client.send_to(&payload(size), DIRECT).unwrap();
        }
        let got = receive(&mut receiver, SIZES.len());
        let got: Vec<_> = got.iter().map(|frame| &frame[42..]).collect();
        let sizes: Vec<_> = got.iter().map(|payload| payload.len()).collect();
        assert_eq!(sizes, SIZES, "{round}: {:?}", receiver.statistics());
        assert!(got == SIZES.map(payload), "{round}");
    }
    let counts = receiver.counts();
    let expected = (50 * SIZES.len() as u64, 0);
    assert_eq!((counts.packets, counts.strange), expected);
    assert_eq!(receiver.statistics().unwrap(), Statistics::default());
}

fn jumbo_frames() {
    for end in ["near", "far"] {
        ip(&format!("link set {end} mtu 9000"));
    }
    ip("addr add 10.0.0.2/24 dev far");
    ip("neigh add 10.0.0.1 lladdr 02:00:00:00:00:07 dev far nud permanent");
}

#[test]
fn jumbo_frames_are_received_directly_in_several_frames() {
    for frame in [2048, 4096] {
        in_scratch(|scratch| {
            jumbo_frames();
            let geometry = Geometry::new(64, frame).unwrap();
            all_sizes_arrive(&Wanted {
                geometry,
                ..wanted(scratch)
            });
        });
    }
}

#[test]
fn jumbo_frames_are_received_where_no_driver_runs_programs() {
    in_scratch(|scratch| {
        jumbo_frames();
        ip("link add link near name plain address 02:00:00:00:00:07 mtu 9000 type macvlan");
        ip("link set plain up");
        all_sizes_arrive(&Wanted {
            interface: "plain",
            ..wanted(scratch)
        });
    });
}

#[test]
fn a_driver_that_wants_parts_where_a_frame_would_do_gets_them() {
    in_scratch(|scratch| {
        // Below what a frame holds, above what veth takes in one part.
        ip("link set far mtu 3800");
        let geometry = Geometry::new(64, 4096).unwrap();
        let wanted = Wanted {
            geometry,
            ..wanted(scratch)
        };
        let _there = Direct::open(&wanted).unwrap();
        let near = support::near();
        let program = program::info_by_id(near.xdp[0].id).unwrap();
        assert_eq!(near.xdp[0].mode, Native);
        assert_eq!(program.name, "stoq_direct");
    });
}

#[test]
fn another_s_program_on_the_interface_is_left_alone() {
    in_scratch(|scratch| {
        let first = Direct::open(&wanted(scratch)).unwrap();
        let there = support::near().xdp;
        let refused = Direct::open(&wanted(scratch)).unwrap_err();
        assert!(matches!(refused, DirectError::Conflict { .. }), "{refused}");
        assert_eq!(support::near().xdp, there);
        drop(first);
        Direct::open(&wanted(scratch)).unwrap();
    });
}
