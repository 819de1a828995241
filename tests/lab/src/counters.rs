//! What an interface has carried, as the kernel counts it.

use serde::{Deserialize, Serialize};

/// Packets and bytes (Ethernet header included) of one interface since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped when sending.
    pub tx_dropped: u64,
}

impl Counters {
    /// Reads one interface's line of /proc/net/dev.
    pub fn parse(table: &str, interface: &str) -> Option<Self> {
        let line = table.lines().find_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            (name.trim() == interface).then_some(numbers)
        })?;
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map_while(|n| n.parse().ok())
            .collect();
        let at = |index: usize| numbers.get(index).copied();
        Some(Self {
            rx_bytes: at(0)?,
            rx_packets: at(1)?,
            rx_dropped: at(3)?,
            tx_bytes: at(8)?,
            tx_packets: at(9)?,
            tx_dropped: at(11)?,
        })
    }

    /// What came since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rx_bytes: self.rx_bytes - earlier.rx_bytes,
            rx_packets: self.rx_packets - earlier.rx_packets,
            rx_dropped: self.rx_dropped - earlier.rx_dropped,
            tx_bytes: self.tx_bytes - earlier.tx_bytes,
            tx_packets: self.tx_packets - earlier.tx_packets,
            tx_dropped: self.tx_dropped - earlier.tx_dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Inter-|   Receive    |  Transmit\n face |bytes packets errs drop\n    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n  eth0: 1500 10 0 2 0 0 0 0 900 6 0 1 0 0 0 0\n";

    #[test]
    fn the_line_of_the_interface_is_read() {
        let counters = Counters::parse(TABLE, "eth0").unwrap();
        let read = (counters.rx_bytes, counters.rx_packets, counters.rx_dropped);
        let sent = (counters.tx_bytes, counters.tx_packets, counters.tx_dropped);
        assert_eq!((read, sent), ((1500, 10, 2), (900, 6, 1)));
    }

    #[test]
    fn an_absent_interface_is_none() {
        assert_eq!(Counters::parse(TABLE, "eth"), None);
    }
}
