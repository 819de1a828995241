//! QUIC for services, over whichever path of the node is best.
//!
//! A [`StoqTransport`] is a QUIC endpoint (quinn) with real TLS: it connects, accepts, or both. What
//! it sends goes by UDP with segmentation offload. What it receives comes by UDP, or, where the node
//! allows it, past the kernel by an AF_XDP socket; [`StoqTransport::backend`] says which, and why.
//!
//! ```no_run
//! use stoq::{StoqTransport, TransportConfig};
//!
//! # async fn run() -> Result<(), stoq::Error> {
//! let transport = StoqTransport::new(TransportConfig::default()).await?;
//! if let Some(status) = transport.get_ebpf_status() {
//!     println!("XDP {}, AF_XDP {}", status.xdp_available, status.af_xdp_available);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The feature `ebpf` is off by default. It changes no type: without it there is no eBPF status,
//! and everything is carried by UDP. The feature `prometheus` shows what is counted to a registry.
#![forbid(unsafe_code)]

#[cfg(feature = "ebpf")]
mod af_xdp;
#[cfg(not(feature = "ebpf"))]
#[path = "no_af_xdp.rs"]
mod af_xdp;
mod config;
mod connection;
#[cfg(feature = "ebpf")]
mod ebpf;
mod error;
pub mod metrics;
#[cfg(all(test, feature = "ebpf"))]
#[path = "../../ebpf/abi/tests/packets/mod.rs"]
mod packets;
mod quic;
mod socket;
mod spin;
mod status;
mod tls;
mod transport;

pub use config::{AfXdp, Congestion, Identity, Profile, TransportConfig};
pub use connection::Connection;
pub use error::Error;
/// What a [`Connection`] gives access to, so that all of its types have a name.
pub use quinn;
pub use quinn::{
    ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError, ZeroRttAccepted,
    rustls::pki_types::{CertificateDer, PrivateKeyDer},
};
pub use status::{Backend, Copying, EbpfStatus, Gate, GateState, Route};
pub use transport::StoqTransport;
