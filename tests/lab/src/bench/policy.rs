//! The policies that figures are measured with.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Result;
use stoq_ebpf::tables::{Mode, PolicySpec, Rates};

use super::frame::SOURCES;

/// For the flood: one network denied, Initials checked, one source held down, and little left for
/// what belongs to no connection.
pub(super) fn flooded() -> Result<PolicySpec> {
    Ok(PolicySpec {
        mode: Mode::Enforce,
        validate_initial: true,
        deny: vec!["203.0.113.0/24".parse()?],
        source: rates(1000, 100),
        unestablished: rates(1000, 100),
        burst: Duration::from_millis(100),
        ..PolicySpec::default()
    })
}

/// For the accept path: a packet of no established flow would soon be over the budget, so what
/// passes a million times was found in the flow table.
pub(super) fn accepting() -> PolicySpec {
    PolicySpec {
        mode: Mode::Enforce,
        validate_initial: true,
        unestablished: rates(1000, 100),
        burst: Duration::from_millis(100),
        ..PolicySpec::default()
    }
}

/// Every check and limit there is. The source's own limits are so high that a test run, one
/// source at ten million packets a second, stays within.
pub(super) fn full() -> Result<PolicySpec> {
    Ok(PolicySpec {
        reject_unknown_versions: true,
        allow: vec![format!("{SOURCES}/16").parse()?, "2001:db8::/32".parse()?],
        deny: vec![
            "203.0.113.0/24".parse()?,
            format!("{SOURCES}/30").parse()?,
            "2001:db8:bad::/48".parse()?,
        ],
        source: rates(u32::MAX, u32::MAX),
        ..accepting()
    })
}

/// For traffic between pods: the accept path with room for handshakes.
pub(super) fn between_pods() -> PolicySpec {
    PolicySpec {
        unestablished: rates(50_000, 5000),
        burst: Duration::from_secs(1),
        ..accepting()
    }
}

fn rates(packets: u32, initials: u32) -> Rates {
    Rates {
        packets_per_second: NonZeroU32::new(packets),
        initials_per_second: NonZeroU32::new(initials),
    }
}
