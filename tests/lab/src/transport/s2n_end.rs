//! s2n-quic as it comes, but for the size of datagrams.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, anyhow};
use s2n_quic::client::Connect;
use s2n_quic::provider::{io, tls::rustls};
use s2n_quic::stream::BidirectionalStream;
use s2n_quic::{Client, Server};

use super::connection::Connection;
use super::end::End;
use super::options::EndOptions;
use super::stream::{Receiving, Sending};
use crate::quic::tls::ALPN;

/// One that accepts.
pub(super) fn server(
    options: &EndOptions,
    address: SocketAddr,
    (cert, key): (&Path, &Path),
) -> Result<End> {
    let tls = rustls::Server::builder()
        .with_certificate(cert, key)
        .and_then(|tls| tls.with_application_protocols([ALPN].iter()))
        .and_then(rustls::server::Builder::build)
        .map_err(|error| anyhow!("{error}"))?;
    let server = Server::builder()
        .with_tls(tls)?
        .with_io(socket(options, address)?)?
        .start()?;
    Ok(End::S2nServer(server.into()))
}

/// One that connects.
pub(super) fn client(options: &EndOptions, address: SocketAddr, ca: &Path) -> Result<End> {
    let tls = rustls::Client::builder()
        .with_certificate(ca)
        .map_err(|error| anyhow!("{error}"))?
        .with_application_protocols([ALPN].iter())?
        .build()
        .map_err(|error| anyhow!("{error}"))?;
    let client = Client::builder()
        .with_tls(tls)?
        .with_io(socket(options, address)?)?
        .start()?;
    Ok(End::S2nClient(client))
}

pub(super) async fn connect(client: &Client, to: SocketAddr, name: &str) -> Result<Connection> {
    let connect = Connect::new(to).with_server_name(name);
    Ok(Connection::S2n(client.connect(connect).await?))
}

pub(super) fn split(stream: BidirectionalStream) -> (Sending, Receiving) {
    let (receive, send) = stream.split();
    (Sending::S2n(send), Receiving::S2n(receive))
}

fn socket(options: &EndOptions, address: SocketAddr) -> Result<io::Default> {
    /// IPv4's and UDP's.
    const HEADERS: u16 = 28;
    let socket = io::Default::builder()
        .with_receive_address(address)?
        .with_max_mtu(options.datagram + HEADERS)?
        .with_gso(!options.no_gso)?
        .build()?;
    Ok(socket)
}
