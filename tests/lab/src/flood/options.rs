//! What to send, where and how fast.

use std::path::PathBuf;
use std::time::Duration;

use super::frame::Target;
use super::kind::Mix;

/// A flood's parameters.
#[derive(Debug, Clone)]
pub struct Options {
    /// The sender's network namespace.
    pub netns: PathBuf,
    /// The sender's interface, in that namespace.
    pub interface: String,
    /// The receiver.
    pub target: Target,
    /// The kinds of packets.
    pub mix: Mix,
    /// Packets per second of all kinds together; None is as fast as it goes.
    pub rate: Option<u64>,
    /// None runs until it is stopped.
    pub duration: Option<Duration>,
    /// The CPU to send from.
    pub cpu: Option<usize>,
    /// How many different real Initials: some hundred to 3900.
    pub initials: usize,
    /// Payload bytes of the loud source's packets, at least one.
    pub loud: usize,
    /// Sources and noise follow from it.
    pub seed: u64,
    /// The name that the ClientHellos ask for.
    pub server_name: String,
    /// The protocol that they offer.
    pub alpn: Vec<u8>,
}
