//! A server on the node, and a client at the other end of its wire.
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use std::process::Command;
use std::time::Duration;

use stoq::metrics::Metrics;
use stoq::{AfXdp, CertificateDer, Connection, Profile, StoqTransport, TransportConfig};
use tokio::runtime;

use crate::scratch::ip;
use crate::support::{NAME, ask_over, certificates, loopback, serve};

pub(crate) const SERVER: &str = "10.0.0.1:4433";
const CLIENT: &str = "10.0.0.2:0";

/// The largest datagram that packets of this size, in bytes, carry in IPv6.
fn largest(mtu: u16) -> u16 {
    mtu - 48
}

/// One client, in a namespace at the other end of the wire `near` - `far`.
pub(crate) struct Client {
    runtime: runtime::Runtime,
    connection: Connection,
    _transport: StoqTransport,
}

impl Client {
    /// Over a wire of this MTU.
    pub(crate) fn connect(root: CertificateDer<'static>, mtu: u16) -> Self {
        ip("addr add 10.0.0.2/24 dev far");
        ip("link set far up");
        // As on a wire: the kernel takes no unfinished checksums from a relay.
        let whole = ["-K", "far", "tx", "off", "gso", "off"];
        let output = Command::new("ethtool").args(whole).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let runtime = runtime();
        let (transport, connection) = runtime.block_on(async {
            let config = TransportConfig {
                bind: CLIENT.parse().unwrap(),
                roots: vec![root],
                largest_datagram: largest(mtu),
                af_xdp: AfXdp::Off,
                ..loopback()
            };
            let transport = StoqTransport::new(config).await.unwrap();
            let connection = transport
                .connect(SERVER.parse().unwrap(), NAME)
                .await
                .unwrap();
            (transport, connection)
        });
        Self {
            runtime,
            connection,
            _transport: transport,
        }
    }

    /// Has the server send so many bytes back.
    pub(crate) fn ask(&self, bytes: usize) {
        let question: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let answer = ask_over(&self.connection, &question);
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), answer)
                .await
                .unwrap()
        });
        assert!(answer == question);
    }
}

fn runtime() -> runtime::Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// The server, on the node.
pub(crate) struct Server {
    runtime: runtime::Runtime,
    pub(crate) transport: StoqTransport,
    pub(crate) root: CertificateDer<'static>,
}

impl Server {
    pub(crate) fn switch(&self, on: bool) {
        self.runtime.block_on(self.transport.use_af_xdp(on));
    }

    /// On a wire of this MTU.
    pub(crate) fn start(af_xdp: AfXdp, profile: Profile, mtu: u16) -> Self {
        let (root, identity) = certificates();
        let config = TransportConfig {
            bind: "[::]:4433".parse().unwrap(),
            identity: Some(identity),
            largest_datagram: largest(mtu),
            af_xdp,
            af_xdp_frames: 1024,
            profile,
            ..loopback()
        };
        let runtime = runtime();
        let transport = runtime.block_on(StoqTransport::new(config)).unwrap();
        runtime.spawn(serve(transport.clone()));
        Self {
            runtime,
            transport,
            root,
        }
    }

    pub(crate) fn until(&self, what: &str, is: impl Fn(&Metrics) -> bool) {
        let so = async {
            while !is(&self.transport.metrics()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let so = async { tokio::time::timeout(Duration::from_secs(15), so).await };
        let so = self.runtime.block_on(so);
        assert!(so.is_ok(), "{what}: {:#?}", self.transport.metrics());
    }

    /// Packets by AF_XDP and datagrams by UDP that `happen` brings.
    pub(crate) fn during(&self, happen: impl FnOnce()) -> (u64, u64) {
        let before = self.transport.metrics();
        happen();
        let after = self.transport.metrics();
        (
            after.af_xdp.packets - before.af_xdp.packets,
            after.udp_datagrams - before.udp_datagrams,
        )
    }
}
