//! Addresses and routes of a cluster: all on one wire, as on one switch.
//!
//! ```text
//! control plane cp0 ---+--- uplink0 node-a (pods 10.244.1.0/24)
//!          client eth0 ---+--- uplink0 node-b (pods 10.244.2.0/24)
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

/// Where the API server serves: machines of the cluster reach it there, others by its proxy.
pub const API: SocketAddrV4 = SocketAddrV4::new(CONTROL_PLANE, 6443);
/// The control plane's address on the wire.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);
/// What Services get their cluster addresses from.
pub const SERVICES: &str = "10.96.0.0/16";
/// The address of the API server's own Service.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// What pods get their addresses from.
pub const PODS: &str = "10.244.0.0/16";

/// The control plane without a wire: its address is on the loopback.
pub(crate) fn alone() -> Vec<String> {
    vec![format!("addr add {CONTROL_PLANE}/32 dev lo")]
}
