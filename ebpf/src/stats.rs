//! Reads counters and histograms, summed over all CPUs.

use std::path::Path;

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap};
use stoq_ebpf_abi::maps::{Counters, Histograms, Unjudged};

use crate::pinned::{OpenError, open};
use crate::sys::KernelError;

mod histogram;
mod memory;
mod slot;

pub use histogram::Histogram;
pub use memory::{MemoryError, memory};
pub use slot::SlotStats;

/// A map could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read map {map}: {source}")]
pub struct StatsError {
    /// The map.
    pub map: &'static str,
    /// What the kernel said.
    pub source: KernelError,
}

/// The maps the programs count in.
pub struct Stats {
    counters: PerCpuArray<MapData, Counters>,
    histograms: PerCpuHashMap<MapData, u32, Histograms>,
    unjudged: PerCpuArray<MapData, Unjudged>,
}

impl Stats {
    /// Opens the maps pinned in this directory.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            counters: open(maps, COUNTERS)?,
            histograms: open(maps, HISTOGRAMS)?,
            unjudged: open(maps, UNJUDGED)?,
        })
    }

    /// What one slot has counted. A slot nobody counts in has counted nothing.
    pub fn read(&self, slot: u32) -> Result<SlotStats, StatsError> {
        let counters = self.counters.get(&slot, 0);
        let counters = counters.map_err(|source| refused(COUNTERS, source))?;
        let mut stats = SlotStats::of(&counters);
        match self.histograms.get(&slot, 0) {
            Ok(histograms) => stats.add_histograms(&histograms),
            Err(MapError::KeyNotFound) => {}
            Err(source) => return Err(refused(HISTOGRAMS, source)),
        }
        Ok(stats)
    }

    /// Packets left to the kernel unjudged, on the whole node.
    pub fn unjudged(&self) -> Result<Unjudged, StatsError> {
        let values = self.unjudged.get(&0, 0);
        let values = values.map_err(|source| refused(UNJUDGED, source))?;
        Ok(values.iter().fold(Unjudged::default(), |mut sum, value| {
            slot::add_table(&mut sum.unparsed, &value.unparsed);
            sum
        }))
    }
}

const COUNTERS: &str = "STOQ_COUNTERS";
const HISTOGRAMS: &str = "STOQ_HISTOGRAMS";
const UNJUDGED: &str = "STOQ_UNJUDGED";

fn refused(map: &'static str, source: MapError) -> StatsError {
    let source = source.into();
    StatsError { map, source }
}
