//! The flow table: counts its flows by state and removes those long silent. Also when endpoints were last active.
//!
//! Nothing is ever written to a flow that stays: the programs add to it at any time, and a write from here would undo
//! what they added. Whether a flow is idle is told from when it was last seen.

use std::path::Path;
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, MapError};
use stoq_ebpf_abi::flow::Flow;
use stoq_ebpf_abi::maps::{Activity, FlowKey};

use crate::pinned::{OpenError, for_each, open};
use crate::sys::KernelError;

mod census;

use census::Ages;
pub use census::{Census, Tally, evicted};

/// A map could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("map {map}: {source}")]
pub struct FlowsError {
    /// The map.
    pub map: &'static str,
    /// What the kernel said.
    pub source: KernelError,
}

/// The flow table and the endpoints' activity.
pub struct Flows {
    flows: HashMap<MapData, FlowKey, Flow>,
    activity: Array<MapData, Activity>,
    /// When it was swept last; a flow idle since before is not newly idle.
    swept: Option<u64>,
}

impl Flows {
    /// Opens the maps pinned in this directory.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            flows: open(maps, FLOWS)?,
            activity: open(maps, ACTIVITY)?,
            swept: None,
        })
    }

    /// Counts all flows and removes those silent for `gone_after`, up to some thousands at a time. `now` is
    /// `CLOCK_MONOTONIC`, ns.
    pub fn sweep(
        &mut self,
        now: u64,
        idle_after: Duration,
        gone_after: Duration,
    ) -> Result<Census, FlowsError> {
        let ages = Ages::new(now, self.swept.replace(now), idle_after, gone_after);
        let mut census = Census::default();
        let mut silent = Vec::new();
        for_each(&self.flows, |key: &FlowKey, flow: &Flow| {
            if silent.len() < REMOVED_AT_ONCE && ages.gone(flow) {
                silent.push(*key);
            } else {
                census.add(key, flow, &ages);
            }
        })
        .map_err(|source| refused(FLOWS, source))?;
        for key in silent {
            self.remove(&key, &ages, &mut census)?;
        }
        Ok(census)
    }

    /// When the endpoint of this id was last active, ns of `CLOCK_MONOTONIC`.
    pub fn activity(&self, id: u32) -> Result<Activity, FlowsError> {
        self.activity
            .get(&id, 0)
            .map_err(|source| refused(ACTIVITY, source))
    }

    /// It may have spoken since it was read.
    fn remove(
        &mut self,
        key: &FlowKey,
        ages: &Ages,
        census: &mut Census,
    ) -> Result<(), FlowsError> {
        let flow = match self.flows.get(key, 0) {
            Ok(flow) => flow,
            // Evicted meanwhile.
            Err(MapError::KeyNotFound) => return Ok(()),
            Err(source) => return Err(refused(FLOWS, source)),
        };
        if !ages.gone(&flow) {
            census.add(key, &flow, ages);
            return Ok(());
        }
        match self.flows.remove(key) {
            Ok(()) => census.remove(key, &flow),
            Err(MapError::SyscallError(e)) if e.io_error.kind() == std::io::ErrorKind::NotFound => {
            }
            Err(source) => return Err(refused(FLOWS, source)),
        }
        Ok(())
    }
}

const FLOWS: &str = "STOQ_FLOWS";
const ACTIVITY: &str = "STOQ_ACTIVITY";

/// Bounds the time and the memory of one sweep.
const REMOVED_AT_ONCE: usize = 8192;

fn refused(map: &'static str, source: impl Into<KernelError>) -> FlowsError {
    let source = source.into();
    FlowsError { map, source }
}
