//! STOQ's node agent: what it observes, what it is asked for, and what it does about it.
#![forbid(unsafe_code)]

pub mod broker;
pub mod bypass;
pub mod cluster;
pub mod dataplane;
pub mod device_plugin;
pub mod files;
pub mod hooks;
pub mod lease;
pub mod metrics;
pub mod node;
pub mod objects;
pub mod plan;
pub mod relays;
pub mod report;
pub mod run;
pub mod serve;
pub mod show;
pub mod source;
pub mod status;
pub mod stoq_node;
pub mod sweep;
