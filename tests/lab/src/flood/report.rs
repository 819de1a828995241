//! What a flood has offered.

use std::time::Duration;

use serde::Serialize;

use super::kind::Kind;

/// The end of a flood, in JSON as `{seconds, offered: {total, pps, short-initial, ...}}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How long it lasted, from its first packet to its last.
    pub seconds: f64,
    /// Packets handed to the interface, of all kinds.
    pub total: u64,
    /// Their rate per second.
    pub pps: f64,
    /// Packets of each kind.
    pub offered: Offered,
}

/// Packets handed to the interface, exactly, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Offered {
    /// Of [`Kind::ShortInitial`].
    pub short_initial: u64,
    /// Of [`Kind::Initial`].
    pub initial: u64,
    /// Of [`Kind::ShortHeader`].
    pub short_header: u64,
    /// Of [`Kind::Loud`].
    pub loud: u64,
    /// Of [`Kind::Denied`].
    pub denied: u64,
}

impl Report {
    pub(super) fn new(elapsed: Duration, offered: [u64; Kind::ALL.len()]) -> Self {
        let total = offered.iter().sum();
        let [short_initial, initial, short_header, loud, denied] = offered;
        Self {
            seconds: elapsed.as_secs_f64(),
            total,
            pps: total as f64 / elapsed.as_secs_f64(),
            offered: Offered {
                short_initial,
                initial,
                short_header,
                loud,
                denied,
            },
        }
    }
}
