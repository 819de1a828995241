//! What has been counted up to a moment.

use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use super::agent::Agent;
use super::cpus;
use super::metrics::{Reasons, Scrape};
use super::outcome::{DROPPED, WOULD_DROP};
use crate::topology::{ETH, UPLINK};
use crate::{Lab, Process};

/// Longer than a packet stays anywhere.
const STILL: Duration = Duration::from_millis(100);
const SETTLES: Duration = Duration::from_secs(5);

/// Counters at one moment; all only grow.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// Packets the uplink's ring had no room for: lost on the wire.
    pub(super) lost: u64,
    /// Packets that reached the pod's interface.
    pub(super) delivered: u64,
    /// Packets the pod's UDP sockets had no room for.
    pub(super) refused: u64,
    /// CPU time of the agent, and of soft interrupts of the whole machine.
    pub(super) node: Duration,
    /// CPU time of the server.
    pub(super) pod: Duration,
    /// The agent's metrics, empty without an agent.
    pub(super) metrics: Scrape,
}

impl Snapshot {
    /// What only the flood's packets move.
    fn of_the_flood(&self) -> (u64, [Reasons; 2]) {
        let reasons = |metric| self.metrics.reasons(metric, None);
        (self.lost, [DROPPED, WOULD_DROP].map(reasons))
    }

    /// Reads everything now.
    pub(super) fn take(lab: &Lab, server: &Process, agent: Option<&Agent<'_>>) -> Result<Self> {
        let agent_cpu = agent.map_or(Ok(Duration::ZERO), Agent::cpu_time)?;
        Ok(Self {
            lost: lab.node.counters(UPLINK)?.rx_dropped,
            delivered: lab.pod.counters(ETH)?.rx_packets,
            refused: refused(lab)?,
            node: agent_cpu + cpus::softirq()?,
            pod: server.cpu_time()?,
            metrics: agent.map_or(Ok(Scrape::default()), |_| Agent::scrape(lab))?,
        })
    }
}

/// The first snapshot after which nothing more was counted against the flood: all of it has
/// come through rings and queues.
pub(super) fn settled(take: impl Fn() -> Result<Snapshot>) -> Result<Snapshot> {
    let deadline = Instant::now() + SETTLES;
    let mut last = take()?;
    loop {
        thread::sleep(STILL);
        let now = take()?;
        if now.of_the_flood() == last.of_the_flood() {
            return Ok(now);
        }
        ensure!(
            Instant::now() < deadline,
            "packets of the flood for {SETTLES:?} after its end"
        );
        last = now;
    }
}

fn refused(lab: &Lab) -> Result<u64> {
    let read = || fs::read_to_string("/proc/thread-self/net/snmp");
    udp_errors(&lab.pod.run(read)??).context("/proc/net/snmp")
}

/// `InErrors` of UDP: the fourth field of the second line that begins with its name.
fn udp_errors(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut fields = names.split_whitespace().zip(values.split_whitespace());
    fields.find(|(name, _)| *name == "InErrors")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn it_has_settled_when_nothing_more_is_lost() {
        let readings = RefCell::new([1, 4, 5, 5, 6].into_iter());
        let take = || {
            let lost = readings.borrow_mut().next().context("no more readings")?;
            Ok(Snapshot {
                lost,
                ..Snapshot::default()
            })
        };
        assert_eq!(settled(take).unwrap().lost, 5);
    }

    #[test]
    fn errors_are_found_by_name() {
        let snmp = "Tcp: A B\nTcp: 1 2\nUdp: InDatagrams NoPorts InErrors Out\nUdp: 5 6 7 8\n";
        assert_eq!(udp_errors(snmp), Some(7));
    }
}
