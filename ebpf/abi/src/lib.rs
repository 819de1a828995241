//! What STOQ's BPF programs and user space share: the packet and QUIC parser,
//! the guard, the observation of flows, and the layout of every map.
//!
//! Everything here is a pure function over data, generic over how bytes are
//! read ([`Bytes`]), so the XDP program, the TC programs, the host's tests and
//! the fuzzer run the same code.
#![no_std]
#![cfg_attr(not(feature = "user"), forbid(unsafe_code))]

pub mod bytes;
pub mod flow;
pub mod guard;
pub mod hint;
pub mod histogram;
pub mod maps;
pub mod parse;
pub mod quic;
pub mod source;
pub mod spin;

pub use bytes::Bytes;

/// Version of the map layouts: the `v<abi>` of the pin tree. Any change of a
/// key, a value or a meaning in [`maps`], [`flow`] or [`histogram`] raises it.
pub const ABI_VERSION: u32 = 3;
