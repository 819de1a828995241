use std::io;
use std::net::SocketAddr;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The UDP socket could not be had.
    #[error("bind {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The certificate and key, or the authorities, are no good.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library's ciphers can't be those of QUIC.
    #[error("TLS: no cipher suite for QUIC's Initial packets")]
    Ciphers(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// A value that makes no sense.
    #[error("{field}: {reason}")]
    Config {
        /// Which field of the configuration.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nobody to trust.
    #[error("connect: no roots are configured")]
    NoRoots,
    /// The connection could not even be begun.
    #[error("connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection failed, or was closed.
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
}
