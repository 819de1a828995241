//! The parsed filter.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::{broken, check_length, parse_duration, try_each};
use crate::api::{Cidr, FilterSpec, LimitsSpec, PerSourceSpec};
use crate::rules::{self, Rule};
use crate::{FilterMode, Invalid};

/// Which packets are dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    /// Whether verdicts are carried out.
    pub mode: FilterMode,
    /// The only sources that pass, where there are any; no host bits; at most 1024.
    pub allow: Vec<IpNet>,
    /// Sources dropped, even those of `allow`; no host bits; at most 1024.
    pub deny: Vec<IpNet>,
    /// Checks for ports that speak QUIC.
    pub quic: QuicChecks,
    /// Rates above which packets are dropped.
    pub limits: Limits,
}

/// Checks for ports that speak QUIC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QuicChecks {
    /// Drop first packets that no correct client sends.
    pub validate_initial: bool,
    /// Drop QUIC versions other than 1 and 2.
    pub reject_unknown_versions: bool,
}

/// Rates above which packets are dropped; `None` is no limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// For each source by itself.
    pub per_source: PerSource,
    /// For all sources together, packets of no established flow.
    pub unestablished: Unestablished,
    /// Depth of each bucket in time at its rate, 100 ms to 10 s.
    pub burst: Duration,
}

/// Limits for each source by itself. Rates are at most 1,000,000,000.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PerSource {
    /// Packets of any kind.
    pub packets_per_second: Option<NonZeroU32>,
    /// QUIC Initials.
    pub initials_per_second: Option<NonZeroU32>,
    /// Bits of an IPv4 address that count as one source, 0 to 32.
    pub prefix_v4: u8,
    /// Bits of an IPv6 address that count as one source, 0 to 128.
    pub prefix_v6: u8,
    /// Sources without such a limit; no host bits; at most 1024.
    pub exempt: Vec<IpNet>,
}

/// Limits for all sources together. Rates are at most 1,000,000,000.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unestablished {
    /// Packets of any kind.
    pub packets_per_second: Option<NonZeroU32>,
    /// QUIC Initials.
    pub initials_per_second: Option<NonZeroU32>,
}

impl Filter {
    pub(super) fn parse(spec: &FilterSpec) -> Result<Self, Invalid> {
        Ok(Self {
            mode: spec.mode,
            allow: parse_cidrs(&spec.allow, "spec.filter.allow")?,
            deny: parse_cidrs(&spec.deny, "spec.filter.deny")?,
            quic: QuicChecks {
                validate_initial: spec.quic.validate_initial,
                reject_unknown_versions: spec.quic.reject_unknown_versions,
            },
            limits: parse_limits(&spec.limits)?,
        })
    }
}

fn parse_limits(spec: &LimitsSpec) -> Result<Limits, Invalid> {
    let field = |name| format!("spec.filter.limits.{name}");
    let shared = &spec.unestablished;
    let range = (Duration::from_millis(100), Duration::from_secs(10));
    Ok(Limits {
        per_source: parse_per_source(&spec.per_source)?,
        unestablished: Unestablished {
            packets_per_second: parse_rate(
                shared.packets_per_second,
                field("unestablished.packetsPerSecond"),
            )?,
            initials_per_second: parse_rate(
                shared.initials_per_second,
                field("unestablished.initialsPerSecond"),
            )?,
        },
        burst: parse_duration(&spec.burst, range, &field("burst"), rules::BURST)?,
    })
}

fn parse_per_source(spec: &PerSourceSpec) -> Result<PerSource, Invalid> {
    let field = |name| format!("spec.filter.limits.perSource.{name}");
    let prefix = |length, most, name, rule: Rule| {
        let length = u8::try_from(length).ok().filter(|l| *l <= most);
        length.ok_or_else(|| broken(field(name), rule))
    };
    Ok(PerSource {
        packets_per_second: parse_rate(spec.packets_per_second, field("packetsPerSecond"))?,
        initials_per_second: parse_rate(spec.initials_per_second, field("initialsPerSecond"))?,
        prefix_v4: prefix(spec.prefix_v4, 32, "prefixV4", rules::PREFIX_V4)?,
        prefix_v6: prefix(spec.prefix_v6, 128, "prefixV6", rules::PREFIX_V6)?,
        exempt: parse_cidrs(&spec.exempt, &field("exempt"))?,
    })
}

fn parse_rate(rate: Option<i64>, field: String) -> Result<Option<NonZeroU32>, Invalid> {
    let Some(rate) = rate else { return Ok(None) };
    let narrow = u32::try_from(rate).ok().and_then(NonZeroU32::new);
    let narrow = narrow.filter(|_| rate <= rules::MAX_RATE);
    narrow.map(Some).ok_or_else(|| broken(field, rules::RATE))
}

fn parse_cidrs(texts: &[Cidr], field: &str) -> Result<Vec<IpNet>, Invalid> {
    check_length(texts, 0, rules::MAX_CIDRS, field)?;
    try_each(texts, field, |text, field| {
        parse_cidr(&text.0).ok_or_else(|| broken(field, rules::CIDR))
    })
}

/// As strict as an API server's `cidr()`: no leading zeros, no IPv4-mapped IPv6.
fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let length = length
        .parse()
        .ok()
        .filter(|l: &u8| l.to_string() == length)?;
    let address: std::net::IpAddr = address.parse().ok()?;
    let net = IpNet::new(address, length).ok()?;
    let is_canonical = address.to_canonical() == address && net.trunc().addr() == address;
    is_canonical.then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs_of_both_families_are_read() {
        for text in [
            "0.0.0.0/0",
            "203.0.113.0/24",
            "198.51.100.7/32",
            "::/0",
            "2001:DB8::/32",
            "64:ff9b::192.0.2.0/120",
        ] {
            assert!(parse_cidr(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_an_api_server_refuses_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "10.0.0.7/8",
            "10.0.0.0/8 ",
            "::/129",
            "fe80::1%eth0/128",
            "2001:db8::1/64",
            "::ffff:10.0.0.0/104",
            "edge.example/24",
        ] {
            assert!(parse_cidr(text).is_none(), "{text:?}");
        }
    }
}
