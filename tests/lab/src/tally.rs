//! What an interface sends from and to one UDP port, counted by the kernel and exactly.

use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::netns::Netns;
use crate::tool;

/// Counts at one interface. Its queueing discipline counts of an offloaded packet every segment,
/// each with headers of its own (`qdisc_pkt_len_init` and `bstats_update` of the kernel); what is
/// not of the port (ARP, neighbour discovery, ICMP) an nftables rule counts, to be taken off.
#[derive(Debug)]
pub struct Tally<'a> {
    netns: &'a Netns,
    interface: &'a str,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Packets, each segment of an offloaded one.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Packets by the interface's own counter, to which an offloaded one is one.
    pub frames: u64,
}

impl<'a> Tally<'a> {
    /// Gives the interface the queue and the rule.
    pub fn begin(netns: &'a Netns, interface: &'a str, port: u16) -> Result<Self> {
        let mut queue = Command::new("tc");
        queue.args(["-n", netns.name(), "qdisc", "replace", "dev", interface]);
        // The queue first: so it has counted whatever the rule has.
        tool::run(queue.args(["root", "pfifo", "limit", "100000"]))?;
        let mut rule = netns.command("nft");
        tool::run_with_input(rule.args(["-f", "-"]), &others(interface, port))?;
        Ok(Self { netns, interface })
    }

    /// What was sent so far, from some point before the beginning; see [`Sent::since`].
    pub fn read(&self) -> Result<Sent> {
        let mut before = self.queue()?;
        loop {
            let (others, interface) = (self.others()?, self.netns.counters(self.interface)?);
            let queue = self.queue()?;
            // Nothing was sent between the readings: they are of one moment.
            if before == queue {
                return Ok(Sent {
                    packets: queue.packets - others.packets,
                    bytes: queue.bytes - others.bytes,
                    frames: interface.tx_packets - others.packets,
                });
            }
            before = queue;
        }
    }

    fn queue(&self) -> Result<Count> {
        let mut command = Command::new("tc");
        command.args(["-n", self.netns.name(), "-s", "-j", "qdisc", "show"]);
        let json = tool::run(command.args(["dev", self.interface, "root"]))?;
        let queues: Vec<Count> = serde_json::from_str(&json)?;
        queues.first().copied().context(json)
    }

    fn others(&self) -> Result<Count> {
        let mut command = self.netns.command("nft");
        let json = tool::run(command.args("-j list counter netdev tally others".split(' ')))?;
        let mut answer: Value = serde_json::from_str(&json)?;
        Ok(serde_json::from_value(
            answer["nftables"][1]["counter"].take(),
        )?)
    }
}

impl Sent {
    /// What came since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
            frames: self.frames - earlier.frames,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
struct Count {
    packets: u64,
    bytes: u64,
}

fn others(interface: &str, port: u16) -> String {
    format!(
        "table netdev tally {{
            counter others {{}}
            chain sent {{
                type filter hook egress device {interface:?} priority 0;
                udp sport {port} return
                udp dport {port} return
                counter name others
            }}
        }}\n"
    )
}
