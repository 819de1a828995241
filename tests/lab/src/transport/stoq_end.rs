//! The crate `stoq`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use stoq::{AfXdp, Backend, Identity, Route, StoqTransport, TransportConfig};

use super::options::{EndOptions, Profile, Way};
use crate::quic::tls;

/// How long the agent may take to hand over a socket.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one waits who goes on without.
const BRIEFLY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// One that accepts.
pub(super) async fn server(
    options: &EndOptions,
    address: SocketAddr,
    (cert, key): (&Path, &Path),
) -> Result<StoqTransport> {
    let chain = tls::certificates(cert)?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
    let config = TransportConfig {
        identity: Some(Identity { chain, key }),
        ..config(options, address)
    };
    Ok(StoqTransport::new(config).await?)
}

/// One that connects.
pub(super) async fn client(
    options: &EndOptions,
    address: SocketAddr,
    ca: &Path,
) -> Result<StoqTransport> {
    let config = TransportConfig {
        roots: tls::certificates(ca)?,
        ..config(options, address)
    };
    Ok(StoqTransport::new(config).await?)
}

fn config(options: &EndOptions, bind: SocketAddr) -> TransportConfig {
    TransportConfig {
        bind,
        alpn: vec![tls::ALPN.to_vec()],
        largest_datagram: options.datagram,
        af_xdp: match &options.af_xdp {
            Way::Udp => AfXdp::Off,
            Way::Broker(socket) | Way::Perhaps(socket) => AfXdp::Broker {
                socket: socket.clone(),
            },
            Way::Direct(interface) => AfXdp::Direct {
                interface: interface.clone(),
                bpffs: options.bpffs.clone(),
            },
        },
        profile: match options.profile {
            Profile::Auto => stoq::Profile::Auto,
            Profile::Latency => stoq::Profile::Latency,
            Profile::Throughput => stoq::Profile::Throughput,
        },
        segmentation_offload: !options.no_gso,
        ..TransportConfig::default()
    }
}

/// What it receives by once that is what was asked for; else why it is not.
pub(super) async fn backend(transport: &StoqTransport, way: &Way) -> Result<String, String> {
    let patience = match way {
        Way::Perhaps(_) => BRIEFLY,
        _ => PATIENCE,
    };
    let deadline = Instant::now() + patience;
    loop {
        let backend = transport.backend();
        if fits(&backend, way) {
            return Ok(words(&backend));
        }
        if Instant::now() > deadline {
            return match way {
                Way::Perhaps(_) => Ok(words(&backend)),
                _ => Err(words(&backend)),
            };
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// By AF_XDP, with nothing left to wish for, if that was asked for.
fn fits(backend: &Backend, way: &Way) -> bool {
    let wanted = match way {
        Way::Udp => return matches!(backend, Backend::Udp { .. }),
        Way::Broker(_) | Way::Perhaps(_) => Route::Relay,
        Way::Direct(_) => Route::Direct,
    };
    matches!(backend, Backend::AfXdp { route, reason, .. } if *route == wanted && reason.is_empty())
}

fn words(backend: &Backend) -> String {
    match backend {
        Backend::Udp { reason } => format!("udp: {reason}"),
        Backend::AfXdp {
            route,
            copying,
            reason,
        } => format!("af_xdp {route:?} {copying:?} {reason}")
            .trim_end()
            .to_lowercase(),
    }
}
