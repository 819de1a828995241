//! Counts datagrams by size, exactly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What the sockets of one process have carried, by payload size; shared between them.
#[derive(Debug, Default)]
pub(super) struct SocketSizes {
    pub(super) tx: Sizes,
    pub(super) rx: Sizes,
}

impl SocketSizes {
    pub(super) fn report(&self) -> SocketReport {
        SocketReport {
            tx: self.tx.report(),
            rx: self.rx.report(),
        }
    }
}

/// One counter per possible UDP payload size.
#[derive(Debug)]
pub(super) struct Sizes(Box<[AtomicU64]>);

impl Default for Sizes {
    fn default() -> Self {
        Self((0..=u16::MAX).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Sizes {
    /// Counts `bytes` sent or received at once as datagrams of `segment`, the last maybe shorter.
    pub(super) fn add(&self, bytes: usize, segment: usize) {
        if bytes == 0 || segment == 0 {
            return;
        }
        self.count(segment, (bytes / segment) as u64);
        if !bytes.is_multiple_of(segment) {
            self.count(bytes % segment, 1);
        }
    }

    fn count(&self, size: usize, datagrams: u64) {
        self.0[size.min(usize::from(u16::MAX))].fetch_add(datagrams, Ordering::Relaxed);
    }

    fn report(&self) -> SizeReport {
        let counts = (0..=u16::MAX)
            .zip(&self.0)
            .map(|(size, count)| (size, count.load(Ordering::Relaxed)));
        SizeReport::new(counts.filter(|(_, count)| *count > 0).collect())
    }
}

/// What a process's sockets sent and received.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SocketReport {
    /// Handed to the kernel.
    pub tx: SizeReport,
    /// Taken from the kernel.
    pub rx: SizeReport,
}

/// Datagrams by UDP payload size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeReport {
    /// How many.
    pub datagrams: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// How many of each size.
    pub sizes: BTreeMap<u16, u64>,
}

impl SizeReport {
    fn new(sizes: BTreeMap<u16, u64>) -> Self {
        Self {
            datagrams: sizes.values().sum(),
            bytes: sizes
                .iter()
                .map(|(size, count)| u64::from(*size) * count)
                .sum(),
            sizes,
        }
    }

    /// The size that a share `q` (0 to 1) of the datagrams does not exceed; 0 without datagrams.
    pub fn quantile(&self, q: f64) -> u16 {
        let wanted = (q * self.datagrams as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.sizes.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        reached.map_or(0, |(size, _)| *size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offloaded_datagrams_are_counted_one_by_one() {
        let sizes = Sizes::default();
        sizes.add(2500, 1200);
        sizes.add(1200, 1200);
        let report = sizes.report();
        assert_eq!(report.sizes, BTreeMap::from([(100, 1), (1200, 3)]));
        assert_eq!((report.datagrams, report.bytes), (4, 3700));
    }

    #[test]
    fn quantiles_are_sizes_that_occurred() {
        let report = SizeReport::new(BTreeMap::from([(30, 50), (1200, 50)]));
        assert_eq!(report.quantile(0.5), 30);
        assert_eq!(report.quantile(0.51), 1200);
        assert_eq!(SizeReport::default().quantile(0.5), 0);
    }
}
