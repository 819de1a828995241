//! What the ends say at the end.

use serde::{Deserialize, Serialize};

/// What an end took and took in, over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// How long, ns.
    pub time: u64,
    /// CPU time of the process, ns. Where the kernel does not account interrupts apart
    /// (CONFIG_IRQ_TIME_ACCOUNTING), with the soft interrupts that ran on top of it.
    pub cpu: u64,
    /// CPU time of the thread that runs the end's CPU's other soft interrupts, ns.
    pub ksoftirqd: u64,
    /// What /proc/stat says of the CPU: soft interrupts of whomever, ns in steps of a clock tick.
    pub softirq: u64,
    /// Bytes taken from streams in bulk.
    pub bytes: u64,
    /// Datagrams that came by UDP (stoq).
    pub by_udp: u64,
    /// Packets that came by AF_XDP (stoq).
    pub by_af_xdp: u64,
    /// Datagrams dropped because the UDP socket's buffer was full, in the end's namespace.
    pub udp_full: u64,
    /// Packets dropped because AF_XDP had no free frame.
    pub no_frame: u64,
    /// Packets dropped because the AF_XDP ring was full.
    pub ring_full: u64,
    /// Packets that the kernel dropped at the AF_XDP socket for other reasons.
    pub dropped: u64,
}

impl Costs {
    /// What was added since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            time: self.time - earlier.time,
            cpu: self.cpu - earlier.cpu,
            ksoftirqd: self.ksoftirqd - earlier.ksoftirqd,
            softirq: self.softirq - earlier.softirq,
            bytes: self.bytes - earlier.bytes,
            by_udp: self.by_udp - earlier.by_udp,
            by_af_xdp: self.by_af_xdp - earlier.by_af_xdp,
            udp_full: self.udp_full - earlier.udp_full,
            no_frame: self.no_frame - earlier.no_frame,
            ring_full: self.ring_full - earlier.ring_full,
            dropped: self.dropped - earlier.dropped,
        }
    }

    /// Share of its CPU that the end took, soft interrupts of its own included.
    pub fn cpu_share(&self) -> f64 {
        (self.cpu + self.ksoftirqd) as f64 / self.time as f64
    }

    /// Share of its CPU that went into soft interrupts.
    pub fn softirq_share(&self) -> f64 {
        self.softirq as f64 / self.time as f64
    }

    /// What arrived in bulk, Gbit/s.
    pub fn gbps(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.time as f64
    }

    /// Packets that reached the receiver and were dropped there.
    pub fn receiver_drops(&self) -> u64 {
        self.udp_full + self.no_frame + self.ring_full + self.dropped
    }
}

/// How a connection's path was (quinn).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Bytes of UDP payload in a full datagram.
    pub datagram: u16,
    /// QUIC packets sent.
    pub sent: u64,
    /// Of those, lost.
    pub lost: u64,
    /// Smoothed round-trip time, us.
    pub rtt_us: f64,
}

/// Exact quantiles of times, us; all 0 without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub samples: u64,
    /// The median.
    pub p50: f64,
    /// 99 % are at or below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Times {
    /// Of times in ns, in any order.
    pub fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        let at = |q: f64| {
            let rank = (q * nanos.len() as f64).ceil().max(1.0) as usize;
            nanos.get(rank - 1).copied().unwrap_or(0) as f64 / 1e3
        };
        Self {
            samples: nanos.len() as u64,
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// What became of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// What the client received by, in words.
    pub backend: String,
    /// Bytes sent in bulk, from the beginning to the end.
    pub sent: u64,
    /// Bytes of those that the server says it has.
    pub arrived: u64,
    /// Time of each request.
    pub requests: Times,
    /// Round-trip time of the connection in bulk, as the sender estimates it, every 10 ms.
    pub rtt: Times,
    /// The path of the connection in bulk, or else of the requests, at the end.
    pub path: Option<Path>,
    /// The client while it was measured.
    pub client: Costs,
    /// The server while it was measured.
    pub server: Costs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_occurred() {
        let times = Times::of((1..=200).rev().map(|us| us * 1000).collect());
        let expected = (200, 100.0, 198.0, 200.0);
        assert_eq!((times.samples, times.p50, times.p99, times.max), expected);
        assert_eq!(Times::of(vec![]), Times::default());
    }

    #[test]
    fn shares_are_of_the_time_that_passed() {
        let costs = Costs {
            time: 1000,
            cpu: 400,
            ksoftirqd: 100,
            bytes: 125,
            ..Costs::default()
        };
        assert_eq!((costs.cpu_share(), costs.gbps()), (0.5, 1.0));
    }
}
