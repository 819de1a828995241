//! Peers that measure one transport each: STOQ's library by any of its backends, plain quinn, and
//! s2n-quic, at the same work, each end a process with one thread.
//!
//! A stream begins with a byte that says what it is for. [`work::BULK`]: what follows is counted, and
//! the count sent back at the end. [`work::ECHO`]: messages of [`work::MESSAGE`] bytes come back.
//! [`work::MARK`]: the server sends what it took since the last such stream.

mod connection;
mod end;
pub mod load;
mod meter;
mod options;
mod quinn_end;
pub mod report;
#[cfg(feature = "s2n-quic")]
mod s2n_end;
pub mod serve;
mod stoq_end;
mod stream;
mod work;

pub use load::LoadOptions;
pub use options::{EndOptions, Library, Profile, Way, Work};
pub use report::{Costs, LoadReport, Path, Times};
pub use serve::{ServeOptions, Started};
