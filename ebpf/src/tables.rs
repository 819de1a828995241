//! Brings the pinned maps to what is desired: level-triggered, with as few writes as will do, and so ordered that no
//! packet meets half a change.
//!
//! Numbers of transports, endpoints and slots are kept in the maps themselves, so a restarted agent continues them.

use std::net::SocketAddr;
use std::path::Path;

use aya::maps::{Array, HashMap, LpmTrie, MapData, MapError, PerCpuArray, PerCpuHashMap};
use stoq_ebpf_abi::maps::{
    Activity, Budget, CidrV4, CidrV6, Counters, Endpoint, EndpointKey, Histograms, Policy,
    TransportName, endpoint_flag,
};
use stoq_ebpf_abi::parse::Addr;
use stoq_ebpf_abi::source::{DebtLine, SourceSet};

use self::plan::Plan;
use crate::pinned::{OpenError, open};
use crate::sys::KernelError;

pub mod addr;
mod applied;
mod cidr;
mod desired;
mod execute;
mod observe;
mod observed;
mod plan;
mod policy;

pub use applied::{Applied, AppliedEndpoint, AppliedTransport, Family, Refusal};
pub use cidr::Cidrs;
pub use desired::{
    Desired, DesiredEndpoint, DesiredFrontEnd, DesiredTransport, Mode, PolicySpec, Rates,
};
pub use observed::Observed;

/// Why the maps could not be read or written. What was written until then is in order by itself; the next
/// [`Tables::apply`] goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The kernel did not let an entry be read.
    #[error("read map {map}: {source}")]
    Read {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: KernelError,
    },
    /// The kernel did not let an entry be written or removed.
    #[error("write map {map}: {source}")]
    Write {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        source: KernelError,
    },
    /// The number of CPUs, and so the size of a counter, is not known.
    #[error("count the possible CPUs: {0}")]
    Cpus(std::io::Error),
}

/// The maps that say what is guarded, and how.
pub struct Tables {
    transports: Array<MapData, TransportName>,
    policies: Array<MapData, Policy>,
    cidrs_v4: LpmTrie<MapData, CidrV4, u32>,
    cidrs_v6: LpmTrie<MapData, CidrV6, u32>,
    endpoints: HashMap<MapData, EndpointKey, Endpoint>,
    nodes: HashMap<MapData, Addr, u32>,
    budgets: Array<MapData, Budget>,
    sources: Array<MapData, SourceSet>,
    debts: Array<MapData, DebtLine>,
    activity: Array<MapData, Activity>,
    addresses: Array<MapData, Addr>,
    counters: PerCpuArray<MapData, Counters>,
    histograms: PerCpuHashMap<MapData, u32, Histograms>,
}

impl Tables {
    /// Opens the maps pinned in this directory.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            transports: open(maps, TRANSPORTS)?,
            policies: open(maps, POLICIES)?,
            cidrs_v4: open(maps, CIDRS_V4)?,
            cidrs_v6: open(maps, CIDRS_V6)?,
            endpoints: open(maps, ENDPOINTS)?,
            nodes: open(maps, NODES)?,
            budgets: open(maps, BUDGETS)?,
            sources: open(maps, SOURCES)?,
            debts: open(maps, DEBTS)?,
            activity: open(maps, ACTIVITY)?,
            addresses: open(maps, ADDRESSES)?,
            counters: open(maps, COUNTERS)?,
            histograms: open(maps, HISTOGRAMS)?,
        })
    }

    /// Brings the maps to what is desired and tells what is in force then. What there is no room for is refused; the
    /// rest is applied. May wait some 100 ms for kernel memory.
    pub fn apply(&mut self, desired: &Desired) -> Result<Applied, TablesError> {
        let first = self.pass(desired)?;
        if !first.wants_another() {
            return Ok(first.applied);
        }
        let mut second = self.pass(desired)?;
        second.applied.writes += first.applied.writes;
        Ok(second.applied)
    }

    fn pass(&mut self, desired: &Desired) -> Result<Plan, TablesError> {
        let mut plan = plan::plan(&self.observe()?, desired);
        plan.applied.without_histograms = self.execute(&plan.steps)?;
        Ok(plan)
    }

    /// The endpoints whose packets go to sockets, as an earlier agent has left it, and their owners.
    pub fn steered(&self) -> Result<Vec<(SocketAddr, u64)>, TablesError> {
        let steered = |(key, endpoint): (EndpointKey, Endpoint)| {
            let flags = endpoint.flags & (endpoint_flag::STEERED | endpoint_flag::FRONT_END);
            let steered = flags == endpoint_flag::STEERED;
            let port = u16::try_from(key.port).ok()?;
            let at = SocketAddr::new(addr::from_wire(key.addr), port);
            steered.then_some((at, endpoint.owner))
        };
        let endpoints = self.observe()?.endpoints.into_iter();
        Ok(endpoints.filter_map(steered).collect())
    }

    /// Forgets when the endpoint of this id was last active, as a new one begins.
    pub fn clear_endpoint(&mut self, id: u32) -> Result<(), TablesError> {
        let cleared = self.activity.set(id, Activity::default(), 0);
        cleared.map_err(|source| write_error(ACTIVITY, source))
    }
}

const TRANSPORTS: &str = "STOQ_TRANSPORTS";
const POLICIES: &str = "STOQ_POLICIES";
const CIDRS_V4: &str = "STOQ_CIDRS_V4";
const CIDRS_V6: &str = "STOQ_CIDRS_V6";
const ENDPOINTS: &str = "STOQ_ENDPOINTS";
const NODES: &str = "STOQ_NODES";
const BUDGETS: &str = "STOQ_BUDGETS";
const SOURCES: &str = "STOQ_SOURCES";
const DEBTS: &str = "STOQ_DEBTS";
const ACTIVITY: &str = "STOQ_ACTIVITY";
const ADDRESSES: &str = "STOQ_ADDRESSES";
const COUNTERS: &str = "STOQ_COUNTERS";
const HISTOGRAMS: &str = "STOQ_HISTOGRAMS";

fn read_error(map: &'static str, source: impl Into<KernelError>) -> TablesError {
    let source = source.into();
    TablesError::Read { map, source }
}

fn write_error(map: &'static str, source: MapError) -> TablesError {
    let source = source.into();
    TablesError::Write { map, source }
}
