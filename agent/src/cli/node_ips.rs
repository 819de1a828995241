//! The node's own addresses, as the downward API writes them.

use std::net::{AddrParseError, IpAddr};
use std::str::FromStr;

/// Any number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeIps(pub(super) Vec<IpAddr>);

impl FromStr for NodeIps {
    type Err = AddrParseError;

    /// Nothing between two commas is nothing, so that a variable may be empty.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim);
        let parsed = parts.filter(|part| !part.is_empty()).map(str::parse);
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_separated_by_commas_and_may_be_none() {
        for (text, expected) in [
            ("", Some(&[][..])),
            ("192.0.2.1", Some(&["192.0.2.1"])),
            (
                "192.0.2.1, 2001:db8::1,",
                Some(&["192.0.2.1", "2001:db8::1"]),
            ),
            ("node-a", None),
            ("192.0.2.1 192.0.2.2", None),
        ] {
            let found = text.parse::<NodeIps>().ok().map(|found| found.0);
            let expected: Option<Vec<IpAddr>> =
                expected.map(|all| all.iter().map(|ip| ip.parse().unwrap()).collect());
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
