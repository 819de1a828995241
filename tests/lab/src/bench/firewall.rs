//! What an administrator would write instead: nftables rules.

use anyhow::{Context, Result};

use super::node::PORT;
use crate::Netns;
use crate::tool;
use crate::topology::UPLINK;

/// Where the rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Prerouting at raw priority: before connection tracking.
    Prerouting,
    /// Ingress of the uplink: before IP.
    Ingress,
}

/// What they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Drop all that goes to the port: no guard, but nftables at its fastest.
    Port,
    /// The checks and limits of [`super::policy::flooded`].
    Guard,
}

/// The rules in force, until dropped.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    netns: &'a Netns,
    place: Place,
}

impl<'a> Rules<'a> {
    /// Puts them in force in a namespace.
    pub(super) fn install(netns: &'a Netns, place: Place, work: Work) -> Result<Self> {
        let rules = Self { netns, place };
        rules.nft(&["-f", "-"], &rules.text(work))?;
        Ok(rules)
    }

    /// Packets they have dropped.
    pub(super) fn dropped(&self) -> Result<u64> {
        let text = self.nft(&["-t", "list", "table", self.place.family(), "bench"], "")?;
        packets(&text).with_context(|| text.clone())
    }

    fn text(&self, work: Work) -> String {
        let (family, hook) = (self.place.family(), self.place.hook());
        let body = match work {
            Work::Port => {
                format!("chain guard {{ type filter {hook}; udp dport {PORT} counter drop\n }}")
            }
            Work::Guard => guard(&hook),
        };
        format!("table {family} bench {{\n{body}\n}}\n")
    }

    fn nft(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.netns.command("nft");
        tool::run_with_input(command.args(arguments), input)
    }
}

impl Drop for Rules<'_> {
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

/// [`super::policy::flooded`] in nftables. Kinder to nftables than to STOQ: it knows no version 2, no
/// connection ids, no IPv6, and takes for established whom somebody else has put into a set. The
/// limit that all share comes first, so that what it drops is not entered into a set.
fn guard(hook: &str) -> String {
    const SET: &str = "type ipv4_addr; size 65536; flags dynamic, timeout; timeout 1s;";
    let over =
        |per_second, burst| format!("limit rate over {per_second}/second burst {burst} packets");
    let (packet, initial) = (over(1000, 100), over(100, 10));
    format!(
        "set deny {{ type ipv4_addr; flags interval; elements = {{ 203.0.113.0/24 }}; }}
         set established {{ type ipv4_addr . inet_service; size 65536; flags dynamic; }}
         set sources {{ {SET} }}
         set initials {{ {SET} }}
         chain initial {{
             udp length < 1208 counter drop
             {initial} counter drop
             update @initials {{ ip saddr {initial} }} counter drop
         }}
         chain guard {{
             type filter {hook};
             udp dport != {PORT} accept
             ip saddr @deny counter drop
             ip saddr . udp sport @established accept
             @th,64,1 1 @th,66,2 0 @th,72,32 1 jump initial
             {packet} counter drop
             update @sources {{ ip saddr {packet} }} counter drop
         }}"
    )
}

/// The sum of the numbers behind `counter packets`.
fn packets(listing: &str) -> Option<u64> {
    let counters = listing.split("counter packets ").skip(1);
    let numbers = counters.map(|behind| behind.split_whitespace().next()?.parse::<u64>().ok());
    numbers.reduce(|sum, number| Some(sum? + number?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_read_from_the_listing() {
        let listing = "udp dport 4433 counter packets 12 bytes 800 drop";
        assert_eq!(packets(listing), Some(12));
        let both = format!("{listing}\nip saddr @deny counter packets 30 bytes 1 drop");
        assert_eq!(packets(&both), Some(42));
        assert_eq!(packets("udp dport 4433 drop"), None);
    }
}
