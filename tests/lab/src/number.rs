//! Numbered UDP packets: each loss, repetition and change of order shows.

mod packet;
pub mod receive;
pub mod send;
mod session;
mod tracker;

pub use receive::{NumberReceived, ReceiveOptions, Stream};
pub use send::{FAREWELLS, NumberSent, SendOptions};
