//! What a flood is made of.

use std::net::Ipv4Addr;

/// Sources of the spoofed kinds: 240.0.0.0/5, 134 million addresses that nobody has.
pub const SPOOFED: (Ipv4Addr, u8) = (Ipv4Addr::new(240, 0, 0, 0), 5);
/// The source of [`Kind::Loud`].
pub const LOUD: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 51, 100, 7), 40_007);
/// Sources of [`Kind::Denied`]: 203.0.113.0/24.
pub const DENIED: (Ipv4Addr, u8) = (Ipv4Addr::new(203, 0, 113, 0), 24);

/// One kind of packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// QUIC v1 Initials below 1200 bytes, spoofed.
    ShortInitial,
    /// Initials of 1200 bytes with a real ClientHello, spoofed.
    Initial,
    /// Short headers of connections that never were, spoofed.
    ShortHeader,
    /// Short headers of 1200 bytes, all from one address and port.
    Loud,
    /// Real Initials from a network that a policy denies.
    Denied,
}

impl Kind {
    /// Every kind, in the order of the rules.
    pub const ALL: [Self; 5] = [
        Self::ShortInitial,
        Self::Initial,
        Self::ShortHeader,
        Self::Loud,
        Self::Denied,
    ];

    /// Network and random bits of the sources, and their port (0: random).
    pub(super) fn source(self) -> (u32, u32, u16) {
        let within = |(network, prefix): (Ipv4Addr, u8)| (network.to_bits(), u32::MAX >> prefix, 0);
        match self {
            Self::Loud => (LOUD.0.to_bits(), 0, LOUD.1),
            Self::Denied => within(DENIED),
            Self::ShortInitial | Self::Initial | Self::ShortHeader => within(SPOOFED),
        }
    }
}

/// Shares of the kinds, relative to their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Mix {
    /// Share of Initials below 1200 bytes.
    #[arg(long, default_value_t = Self::DEMO.short_initial)]
    pub short_initial: u32,
    /// Share of well-formed Initials.
    #[arg(long, default_value_t = Self::DEMO.initial)]
    pub initial: u32,
    /// Share of short headers without a connection.
    #[arg(long, default_value_t = Self::DEMO.short_header)]
    pub short_header: u32,
    /// Share of the one loud source.
    #[arg(long, default_value_t = Self::DEMO.loud)]
    pub loud: u32,
    /// Share of the denied network.
    #[arg(long, default_value_t = Self::DEMO.denied)]
    pub denied: u32,
}

impl Mix {
    /// The demo's: mostly what is cheap to send, some of everything.
    pub const DEMO: Self = Self {
        short_initial: 40,
        initial: 20,
        short_header: 20,
        loud: 10,
        denied: 10,
    };

    /// Nothing but one kind.
    pub fn only(kind: Kind) -> Self {
        let share = |other: Kind| u32::from(other == kind);
        Self {
            short_initial: share(Kind::ShortInitial),
            initial: share(Kind::Initial),
            short_header: share(Kind::ShortHeader),
            loud: share(Kind::Loud),
            denied: share(Kind::Denied),
        }
    }

    /// The shares in the order of [`Kind::ALL`].
    pub fn shares(&self) -> [u32; Kind::ALL.len()] {
        [
            self.short_initial,
            self.initial,
            self.short_header,
            self.loud,
            self.denied,
        ]
    }
}
