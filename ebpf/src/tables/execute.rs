use std::thread;
use std::time::{Duration, Instant};

use aya::Pod;
use aya::maps::{MapError, PerCpuValues};
use ipnet::IpNet;
use rustix::io::Errno;
use stoq_ebpf_abi::maps::{
    Budget, Counters, Histograms, Hook, NAME_LEN, Policy, TransportName, budget_index,
};
use stoq_ebpf_abi::source::{DEBT_LINES, DebtLine, SOURCE_SETS, SourceSet};

use super::observe::{key_v4, key_v6};
use super::plan::Step;
use super::{
    ADDRESSES, BUDGETS, CIDRS_V4, CIDRS_V6, COUNTERS, DEBTS, ENDPOINTS, HISTOGRAMS, NODES,
    POLICIES, SOURCES, TRANSPORTS, Tables, TablesError, write_error,
};
use crate::kernel::after_a_tick;

/// How long one execution waits for kernel memory in all.
const PATIENCE: Duration = Duration::from_millis(500);

impl Tables {
    /// Returns the slots there was no memory to keep histograms for: the guard can do without.
    pub(super) fn execute(&mut self, steps: &[Step]) -> Result<Vec<u32>, TablesError> {
        let deadline = Instant::now() + PATIENCE;
        let mut without = Vec::new();
        // What the endpoint table said is believed for a tick.
        let mut believed = false;
        for step in steps {
            if believed && !step.is_of_endpoints() {
                after_a_tick();
            }
            believed = step.is_of_endpoints();
            match (step, self.write_until(deadline, step)) {
                (Step::ZeroHistograms(slot), Err(error)) if out_of_memory(&error) => {
                    without.push(*slot);
                }
                (_, written) => written?,
            }
        }
        if believed {
            after_a_tick();
        }
        if steps.iter().any(|step| matches!(step, Step::PutPolicy(..))) {
            self.forget_sources()?;
        }
        Ok(without)
    }

    /// What a source owed at other rates is no debt. The table does not tell transports apart, so
    /// those of others are forgiven with it.
    fn forget_sources(&mut self) -> Result<(), TablesError> {
        for set in 0..SOURCE_SETS {
            let empty = self.sources.set(set, SourceSet::default(), 0);
            empty.map_err(|source| write_error(SOURCES, source))?;
        }
        for line in 0..DEBT_LINES {
            let paid = self.debts.set(line, DebtLine::default(), 0);
            paid.map_err(|source| write_error(DEBTS, source))?;
        }
        Ok(())
    }

    /// What grows by the entry is taken from small reserves that a worker of the kernel refills: many entries at once
    /// may have to wait for it.
    fn write_until(&mut self, deadline: Instant, step: &Step) -> Result<(), TablesError> {
        loop {
            match self.write(step) {
                Err(error) if out_of_memory(&error) && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(1));
                }
                written => return written,
            }
        }
    }

    fn write(&mut self, step: &Step) -> Result<(), TablesError> {
        let (map, written) = match *step {
            Step::ZeroCounters(slot) => {
                let zero = on_every_cpu(Counters::default())?;
                (COUNTERS, self.counters.set(slot, zero, 0))
            }
            Step::ZeroHistograms(slot) => {
                let zero = on_every_cpu(Histograms::default())?;
                (HISTOGRAMS, self.histograms.insert(slot, zero, 0))
            }
            Step::Name(index, ref name) => (TRANSPORTS, self.transports.set(index, **name, 0)),
            Step::ClearActivity(id) => return self.clear_endpoint(id),
            Step::PutAddress(id, addr) => (ADDRESSES, self.addresses.set(id, addr, 0)),
            Step::PutCidr(transport, net, flags) => self.put_cidr(transport, net, flags),
            Step::PutPolicy(index, policy) => {
                self.fill_budgets(index)?;
                (POLICIES, self.policies.set(index, policy, 0))
            }
            Step::PutNode(addr) => (NODES, self.nodes.insert(addr, 1, 0)),
            Step::PutEndpoint(key, endpoint) => {
                (ENDPOINTS, self.endpoints.insert(key, endpoint, 0))
            }
            Step::RemoveEndpoint(key) => (ENDPOINTS, absent(self.endpoints.remove(&key))),
            Step::ClearPolicy(index) => (POLICIES, self.policies.set(index, Policy::default(), 0)),
            Step::RemoveCidr(transport, net) => self.remove_cidr(transport, net),
            Step::RemoveHistograms(slot) => (HISTOGRAMS, absent(self.histograms.remove(&slot))),
            Step::ClearName(index) => (TRANSPORTS, self.transports.set(index, FREE, 0)),
            Step::RemoveNode(addr) => (NODES, absent(self.nodes.remove(&addr))),
        };
        written.map_err(|source| write_error(map, source))
    }

    /// What was owed at other rates, or by a transport that had this number before, is no debt.
    fn fill_budgets(&mut self, transport: u32) -> Result<(), TablesError> {
        for hook in Hook::ALL {
            let index = budget_index(transport, hook);
            let filled = self.budgets.set(index, Budget::default(), 0);
            filled.map_err(|source| write_error(BUDGETS, source))?;
        }
        Ok(())
    }

    fn put_cidr(&mut self, transport: u32, net: IpNet, flags: u32) -> Written {
        match net {
            IpNet::V4(net) => (
                CIDRS_V4,
                self.cidrs_v4.insert(&key_v4(transport, net), flags, 0),
            ),
            IpNet::V6(net) => (
                CIDRS_V6,
                self.cidrs_v6.insert(&key_v6(transport, net), flags, 0),
            ),
        }
    }

    fn remove_cidr(&mut self, transport: u32, net: IpNet) -> Written {
        match net {
            IpNet::V4(net) => (
                CIDRS_V4,
                absent(self.cidrs_v4.remove(&key_v4(transport, net))),
            ),
            IpNet::V6(net) => (
                CIDRS_V6,
                absent(self.cidrs_v6.remove(&key_v6(transport, net))),
            ),
        }
    }
}

/// Which map, and what came of it.
type Written = (&'static str, Result<(), MapError>);

/// Name of a free index.
const FREE: TransportName = TransportName {
    name: [0; NAME_LEN],
};

fn on_every_cpu<V: Pod>(value: V) -> Result<PerCpuValues<V>, TablesError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| TablesError::Cpus(error))?;
    PerCpuValues::try_from(vec![value; cpus]).map_err(TablesError::Cpus)
}

fn out_of_memory(error: &TablesError) -> bool {
    matches!(error, TablesError::Write { source, .. } if source.errno == Errno::NOMEM)
}

/// What is gone already need not be removed.
fn absent(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::SyscallError(refused))
            if refused.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        other => other,
    }
}
