//! Counts the connections, and forgets those that are over.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stoq_ebpf::flows::{Flows, FlowsError, evicted};
use stoq_ebpf::stats::{Stats, StatsError};
use stoq_ebpf::tables::Applied;

use crate::metrics::Connections;

/// Silence after which a connection is idle.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// Silence after which it is forgotten.
const GONE_AFTER: Duration = Duration::from_secs(300);

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The flow table.
    #[error(transparent)]
    Flows(#[from] FlowsError),
    /// The counters.
    #[error(transparent)]
    Stats(#[from] StatsError),
}

/// What sweeps add up to, by transport index.
#[derive(Debug, Default)]
pub struct Sweeper {
    totals: BTreeMap<u32, Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    /// Flows that had begun and were no longer there before the first sweep.
    before: u64,
    idled: u64,
    gone: u64,
}

impl Sweeper {
    /// Sweeps the table once.
    pub fn sweep(
        &mut self,
        flows: &mut Flows,
        stats: &Stats,
        applied: &Applied,
    ) -> Result<BTreeMap<u32, Connections>, SweepError> {
        let mut began = BTreeMap::new();
        for transport in &applied.transports {
            let Some(index) = transport.index else {
                continue;
            };
            for slot in transport.slots() {
                *began.entry(index).or_insert(0) += stats.read(slot)?.counters.flows;
            }
        }
        let census = flows.sweep(monotonic(), IDLE_AFTER, GONE_AFTER)?;
        self.totals.retain(|index, _| began.contains_key(index));
        Ok(began
            .into_iter()
            .map(|(index, began)| {
                let tally = census.transport(index);
                let totals = self.totals.entry(index).or_insert_with(|| Totals {
                    before: began.saturating_sub(tally.live() + tally.gone),
                    ..Totals::default()
                });
                totals.idled += tally.idled;
                totals.gone += tally.gone;
                let here = began.saturating_sub(totals.before);
                let connections = Connections {
                    handshaking: tally.handshaking,
                    established: tally.established,
                    idle: tally.idle,
                    became_idle: totals.idled,
                    evicted: evicted(here, tally.live(), totals.gone),
                };
                (index, connections)
            })
            .collect())
    }
}

/// `CLOCK_MONOTONIC` in ns: the clock of the BPF programs.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}
