//! What this machine lets us do, found by doing it.

mod reason;

pub use reason::Reason;
