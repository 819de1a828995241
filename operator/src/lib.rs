//! STOQ's operator: it judges each StoqTransport against all pods, finds the ways into the cluster
//! that lead there, and sums up on it what the agents of all nodes say.
//!
//! | step | where | effects |
//! |---|---|---|
//! | dereference: watches into one index | `watches`, `index` | reads |
//! | validate: rules, conflicts by age | `index`, `stoq_crds` | none |
//! | build: front ends, the sum over nodes, conditions | `front_ends`, `aggregate`, `status` | none |
//! | decide what to write when | `queue`, `budget` | none |
//! | apply: status, node addresses, labels, events | `write` | writes, while it leads |
#![forbid(unsafe_code)]

mod addresses;
mod aggregate;
mod budget;
mod controller;
mod events;
#[cfg(test)]
mod fixture;
mod front_ends;
mod index;
mod labels;
mod leader;
mod lease;
mod metrics;
mod quantile;
mod queue;
mod random;
mod report;
pub mod run;
mod rung;
mod seconds;
mod serve;
mod service;
mod status;
mod watches;
mod words;
mod write;
