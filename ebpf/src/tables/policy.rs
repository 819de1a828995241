//! A policy as the programs read it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use stoq_ebpf_abi::maps::{Policy, mode, policy_flag};

use super::addr;
use super::cidr::Cidrs;
use super::desired::{Mode, PolicySpec};

/// Sixteenths of a nanosecond in a second: the unit of costs.
const SECOND: u64 = 16_000_000_000;

/// The policy that goes with these CIDRs, which are its own, folded.
pub(super) fn encode(spec: &PolicySpec, cidrs: &Cidrs) -> Policy {
    Policy {
        mode: mode(spec.mode),
        flags: flags(spec, cidrs),
        source_packet: cost(spec.source.packets_per_second),
        source_initial: cost(spec.source.initials_per_second),
        unestablished_packet: cost(spec.unestablished.packets_per_second),
        unestablished_initial: cost(spec.unestablished.initials_per_second),
        burst: depth(spec.burst),
        readmit_after: nanoseconds(spec.readmit_after),
        source_v4: addr::v4_to_wire(mask_v4(spec.source_prefix_v4)),
        pad: 0,
        source_v6: addr::v6_to_wire(mask_v6(spec.source_prefix_v6)),
    }
}

fn mode(mode: Mode) -> u32 {
    match mode {
        Mode::Off => mode::OFF,
        Mode::Monitor => mode::MONITOR,
        Mode::Enforce => mode::ENFORCE,
    }
}

fn flags(spec: &PolicySpec, cidrs: &Cidrs) -> u32 {
    let v4 = cidrs.keys().any(|net| net.addr().is_ipv4());
    let v6 = cidrs.keys().any(|net| net.addr().is_ipv6());
    [
        (spec.validate_initial, policy_flag::VALIDATE_INITIAL),
        (
            spec.reject_unknown_versions,
            policy_flag::REJECT_UNKNOWN_VERSIONS,
        ),
        (v4, policy_flag::CIDR_V4),
        (v6, policy_flag::CIDR_V6),
        (!spec.allow.is_empty(), policy_flag::ALLOW_LIST),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .fold(0, |flags, flag| flags | flag)
}

fn cost(rate: Option<NonZeroU32>) -> u64 {
    rate.map_or(0, |rate| SECOND / u64::from(rate.get()))
}

fn depth(burst: Duration) -> u64 {
    nanoseconds(burst).saturating_mul(16)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn mask_v4(prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into()));
    Ipv4Addr::from_bits(bits.unwrap_or(0))
}

fn mask_v6(prefix: u8) -> Ipv6Addr {
    let bits = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into()));
    Ipv6Addr::from_bits(bits.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::cidr::fold;
    use crate::tables::desired::Rates;

    #[test]
    fn a_rate_becomes_the_cost_of_one_packet() {
        let cases = [
            (0, 0),
            (1, 16_000_000_000),
            (20_000, 800_000),
            (u32::MAX, 3),
        ];
        for (rate, expected) in cases {
            assert_eq!(cost(NonZeroU32::new(rate)), expected, "{rate}/s");
        }
    }

    #[test]
    fn masks_are_in_wire_order() {
        let cases = [
            (32, "255.255.255.255"),
            (24, "255.255.255.0"),
            (1, "128.0.0.0"),
            (0, "0.0.0.0"),
        ];
        for (prefix, mask) in cases {
            assert_eq!(mask_v4(prefix), mask.parse::<Ipv4Addr>().unwrap());
        }
        let cases = [
            (64, "ffff:ffff:ffff:ffff::"),
            (0, "::"),
            (57, "ffff:ffff:ffff:ff80::"),
        ];
        for (prefix, mask) in cases {
            assert_eq!(mask_v6(prefix), mask.parse::<Ipv6Addr>().unwrap());
        }
    }

    #[test]
    fn every_part_of_a_policy_arrives() {
        let spec = PolicySpec {
            mode: Mode::Enforce,
            validate_initial: true,
            deny: vec!["203.0.113.0/24".parse().unwrap()],
            source: Rates {
                packets_per_second: NonZeroU32::new(20_000),
                initials_per_second: NonZeroU32::new(200),
            },
            unestablished: Rates {
                packets_per_second: NonZeroU32::new(50_000),
                initials_per_second: None,
            },
            burst: Duration::from_millis(100),
            ..PolicySpec::default()
        };
        let expected = Policy {
            mode: mode::ENFORCE,
            flags: policy_flag::VALIDATE_INITIAL | policy_flag::CIDR_V4,
            source_packet: 800_000,
            source_initial: 80_000_000,
            unestablished_packet: 320_000,
            unestablished_initial: 0,
            burst: 1_600_000_000,
            readmit_after: 1_000_000_000,
            source_v4: u32::MAX,
            pad: 0,
            source_v6: [u32::MAX, u32::MAX, 0, 0],
        };
        assert_eq!(encode(&spec, &fold(&spec)), expected);
    }

    #[test]
    fn flags_follow_the_lists() {
        let nets = |text: &str| {
            text.split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect()
        };
        let cases = [
            ("", "", 0),
            (
                "10.0.0.0/8",
                "",
                policy_flag::CIDR_V4 | policy_flag::ALLOW_LIST,
            ),
            ("", "2001:db8::/32", policy_flag::CIDR_V6),
            (
                "2001:db8::/32",
                "10.0.0.0/8",
                policy_flag::CIDR_V4 | policy_flag::CIDR_V6 | policy_flag::ALLOW_LIST,
            ),
        ];
        for (allow, deny, expected) in cases {
            let spec = PolicySpec {
                allow: nets(allow),
                deny: nets(deny),
                ..PolicySpec::default()
            };
            assert_eq!(flags(&spec, &fold(&spec)), expected, "{allow:?} {deny:?}");
        }
    }
}
