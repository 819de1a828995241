//! The `lab` command: one process per peer, so that each one's CPU time can be told.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::number::{ReceiveOptions, SendOptions, receive, send};
use crate::quic::tls::Identity;
use crate::quic::{LoadOptions, ServeOptions, load, serve};
use crate::{echo, transport};

/// Peers of the STOQ laboratory. Each prints its report as the last line, in JSON.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a fresh certificate authority and server certificate into a directory.
    Identity {
        /// The directory.
        directory: PathBuf,
    },
    /// Answer QUIC requests until SIGTERM; the first line tells the address.
    Serve(ServeOptions),
    /// Send QUIC requests at a steady rate, or in bulk.
    Load(Box<LoadOptions>),
    /// Send numbered UDP packets at a steady rate, for a time or until SIGTERM.
    NumberSend(SendOptions),
    /// Receive numbered UDP packets until SIGTERM; the first line tells the address.
    NumberRecv(ReceiveOptions),
    /// Send every UDP datagram back, until killed; the first line tells the address.
    Echo {
        /// Where to listen.
        listen: SocketAddr,
    },
    /// Ask a UDP echo until it answers; prints how many seconds the answer took.
    Ask {
        /// Where it listens.
        echo: SocketAddr,
        /// Seconds after which to give up.
        #[arg(long, default_value = "5", value_parser = positive)]
        within: f64,
    },
    /// Serve QUIC by one of several libraries and backends until SIGTERM; the first line says by what.
    StoqServe(Box<transport::ServeOptions>),
    /// Work with such a server, and report what that took both.
    StoqLoad(Box<transport::LoadOptions>),
    /// Remove what labs that were killed have left behind.
    Sweep,
}

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Identity { directory } => Identity::generate(&directory).map(drop),
            Command::Serve(options) => {
                block_on(async { print(&serve::serve(&options, ready, ended()?).await?) })
            }
            Command::Load(options) => block_on(async { print(&load::load(*options).await?) }),
            Command::NumberSend(options) => print(&send::send(&options, &stopped())?),
            Command::NumberRecv(options) => print(&receive::receive(&options, ready, &stopped())?),
            Command::Echo { listen } => echo::echo(listen, ready),
            Command::Ask { echo, within } => {
                let took = echo::ask(echo, Duration::from_secs_f64(within))?;
                print(&took.as_secs_f64())
            }
            Command::StoqServe(options) => {
                options.end.pin()?;
                block_on(async { transport::serve::serve(&options, print, ended()?).await })
            }
            Command::StoqLoad(options) => {
                options.end.pin()?;
                block_on(async {
                    let load = async move { transport::load::load(&options).await };
                    print(&tokio::spawn(load).await??)
                })
            }
            Command::Sweep => print(&crate::sweep::sweep()),
        }
    }
}

/// Becomes true on SIGTERM or SIGINT.
fn stopped() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    std::thread::spawn(move || {
        let _ = block_on(async {
            ended()?.await;
            Ok(())
        });
        seen.store(true, Ordering::Relaxed);
    });
    stop
}

fn ready(address: SocketAddr) {
    println!("ready {address}");
}

fn print(report: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

/// One thread: what it costs is what the process costs, and it cannot take more than one core.
fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_all().build()?.block_on(work)
}

/// Completes on SIGTERM or SIGINT, from the moment of the call.
fn ended() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A number of seconds or packets that makes sense.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err("must be positive".into())
    }
}
