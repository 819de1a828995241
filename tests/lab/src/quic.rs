//! QUIC peers that measure: a server, a load, and exact counts of what their sockets carried.

mod endpoint;
mod handler;
pub mod load;
mod observe;
pub mod quantiles;
mod requester;
mod rounds;
mod series;
pub mod serve;
mod sizes;
mod socket;
pub mod tls;

pub use endpoint::{Gso, TransportOptions};
pub use load::{LoadOptions, LoadReport};
pub use observe::QuinnTotals;
pub use quantiles::Quantiles;
pub use series::Second;
pub use serve::{ServeOptions, ServeReport};
pub use sizes::{SizeReport, SocketReport};
