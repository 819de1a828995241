//! A laboratory on one machine: a client, a node and its pods in network namespaces, joined by a
//! wire that can delay and lose, with real QUIC peers and numbered packets that measure exactly.

pub mod bench;
pub mod bpffs;
pub mod cli;
pub mod counters;
pub mod demo;
pub mod directory;
pub mod echo;
pub mod flood;
pub mod foreign;
pub mod lab;
mod lab_programs;
#[allow(dead_code, reason = "some of it concerns the programs alone")]
#[path = "../../../ebpf/programs/lab/src/layout.rs"]
mod layout;
pub mod mac;
pub mod netns;
pub mod number;
pub mod peers;
pub mod pod;
pub mod privilege;
pub mod process;
pub mod quic;
pub mod real_time;
pub mod run_name;
pub mod sweep;
pub mod tally;
pub mod tool;
pub mod topology;
pub mod transport;
pub mod wait;
pub mod wire;

pub use counters::Counters;
pub use directory::Directory;
pub use lab::{Lab, LabOptions};
pub use mac::Mac;
pub use netns::Netns;
pub use pod::{Pod, pod_yaml, transport_yaml};
pub use privilege::{may_run, turn};
pub use process::Process;
pub use real_time::RealTime;
pub use sweep::sweep;
pub use tally::{Sent, Tally};
pub use wait::wait_for;
pub use wire::{Impairment, Wire, WireCounts};
