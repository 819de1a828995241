//! What an administrator would write instead: an nftables rule that drops by port.

use anyhow::{Context, Result};

use super::node::PORT;
use crate::Netns;
use crate::tool;
use crate::topology::UPLINK;

/// Where the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Prerouting at raw priority: before connection tracking.
    Prerouting,
    /// Ingress of the uplink: before IP.
    Ingress,
}

/// The rule in force, until dropped.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    netns: &'a Netns,
    place: Place,
}

impl<'a> Rule<'a> {
    /// Puts it in force in a namespace.
    pub(super) fn install(netns: &'a Netns, place: Place) -> Result<Self> {
        let rule = Self { netns, place };
        rule.nft(&["-f", "-"], &rule.text())?;
        Ok(rule)
    }

    /// Packets it has dropped.
    pub(super) fn dropped(&self) -> Result<u64> {
        let text = self.nft(&["list", "table", self.place.family(), "bench"], "")?;
        packets(&text).with_context(|| text.clone())
    }

    fn text(&self) -> String {
        let (family, hook) = (self.place.family(), self.place.hook());
        format!(
            "table {family} bench {{\nchain guard {{\ntype filter {hook};\n\
             udp dport {PORT} counter drop\n}}\n}}\n"
        )
    }

    fn nft(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.netns.command("nft");
        tool::run_with_input(command.args(arguments), input)
    }
}

impl Drop for Rule<'_> {
    fn drop(&mut self) {
        let _ = self.nft(&["delete", "table", self.place.family(), "bench"], "");
    }
}

impl Place {
    fn family(self) -> &'static str {
        match self {
            Self::Prerouting => "ip",
            Self::Ingress => "netdev",
        }
    }

    fn hook(self) -> String {
        match self {
            Self::Prerouting => "hook prerouting priority raw".to_owned(),
            Self::Ingress => format!("hook ingress device {UPLINK} priority filter"),
        }
    }
}

/// The number behind `counter packets`.
fn packets(listing: &str) -> Option<u64> {
    let (_, behind) = listing.split_once("counter packets ")?;
    behind.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_from_the_listing() {
        let listing = "udp dport 4433 counter packets 12 bytes 800 drop";
        assert_eq!(packets(listing), Some(12));
        assert_eq!(packets("udp dport 4433 drop"), None);
    }
}
