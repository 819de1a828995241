//! The log, on standard error.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Form of the log.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum Log {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

impl Log {
    /// Logs from here on what `STOQ_LOG` asks for (`info`, `debug`, `stoq_agent=trace,warn`), else `info`.
    /// Once for each process.
    pub fn init(self) {
        let filter = EnvFilter::try_from_env("STOQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr);
        match self {
            Self::Text => builder.init(),
            Self::Json => builder.json().init(),
        }
    }
}
