//! The loaded programs and their maps, filled like a node of the packet table.

use std::path::Path;
use std::time::Duration;

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::programs::{TestRun as _, TestRunOptions};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use stoq_ebpf::kernel::{after_a_tick, seed, tick};
use stoq_ebpf::loader::{self, Loaded, Options, Pins};
use stoq_ebpf_abi::flow::Flow;
use stoq_ebpf_abi::hint::{self, HintLine};
use stoq_ebpf_abi::maps::{
    Budget, CidrV4, CidrV6, Counters, Endpoint, EndpointKey, FlowKey, Hook, Policy, budget_index,
};
use stoq_ebpf_abi::parse::{Addr, mapped};
use stoq_ebpf_abi::source::{DebtLine, SETS_PER_LINE, Source, SourceSet, paid_at};

use crate::packets::node::Node;
use crate::support::Scratch;

/// Transports of the packet table, and slots of their counters.
pub(crate) const TRANSPORTS: u32 = 2;

/// What a program returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `XDP_PASS`, `TCX_NEXT`
    Pass,
    /// `XDP_DROP`, `TCX_DROP`
    Drop,
}

/// How segmentation is still to cut a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Train {
    pub(crate) segments: u32,
    pub(crate) size: u32,
}

pub(crate) struct Machine {
    loaded: Loaded,
    endpoints: HashMap<MapData, EndpointKey, Endpoint>,
    policies: Array<MapData, Policy>,
    cidrs_v4: LpmTrie<MapData, CidrV4, u32>,
    cidrs_v6: LpmTrie<MapData, CidrV6, u32>,
    nodes: HashMap<MapData, Addr, u32>,
    sources: Array<MapData, SourceSet>,
    debts: Array<MapData, DebtLine>,
    /// Sets that are not empty.
    used: Vec<u32>,
    budgets: Array<MapData, Budget>,
    flows: HashMap<MapData, FlowKey, Flow>,
    hints: Array<MapData, HintLine>,
    counters: PerCpuArray<MapData, Counters>,
}

fn open<M: TryFrom<Map, Error = MapError>>(maps: &Path, name: &str) -> M {
    let map = MapData::from_pin(maps.join(name)).and_then(Map::from_map_data);
    map.and_then(M::try_from).unwrap()
}

impl Machine {
    /// On one CPU from now on: a test run counts in its CPU's copy.
    pub(crate) fn load(scratch: &Scratch) -> Self {
        let mut cpus = CpuSet::new();
        cpus.set(sched_getcpu());
        sched_setaffinity(None, &cpus).unwrap();
        let pins = Pins::new(&scratch.bpffs);
        let loaded = loader::load(&pins, &Options::default()).unwrap();
        let maps = pins.maps();
        Self {
            loaded,
            endpoints: open(&maps, "STOQ_ENDPOINTS"),
            policies: open(&maps, "STOQ_POLICIES"),
            cidrs_v4: open(&maps, "STOQ_CIDRS_V4"),
            cidrs_v6: open(&maps, "STOQ_CIDRS_V6"),
            nodes: open(&maps, "STOQ_NODES"),
            sources: open(&maps, "STOQ_SOURCES"),
            debts: open(&maps, "STOQ_DEBTS"),
            used: Vec::new(),
            budgets: open(&maps, "STOQ_BUDGETS"),
            flows: open(&maps, "STOQ_FLOWS"),
            hints: open(&maps, "STOQ_HINTS"),
            counters: open(&maps, "STOQ_COUNTERS"),
        }
    }

    /// Makes the maps the node's own: its policies and endpoints, and [`Machine::reset`].
    pub(crate) fn fill(&mut self, node: &Node) {
        replace(&mut self.endpoints, &node.endpoints);
        for (transport, policy) in &node.policies {
            self.policies.set(*transport, *policy, 0).unwrap();
        }
        let nodes: Vec<_> = node.nodes.iter().map(|addr| (*addr, 1)).collect();
        replace(&mut self.nodes, nodes.iter().map(|(addr, one)| (addr, one)));
        self.fill_cidrs(node);
        self.reset(node);
        // The programs believe what they knew of endpoints for a tick.
        after_a_tick();
    }

    /// Keys already there are overwritten: every variant has the same.
    fn fill_cidrs(&mut self, node: &Node) {
        for prefix in &node.prefixes {
            let (transport, addr) = (prefix.transport, prefix.addr);
            if addr == mapped(addr[3]) {
                let data = CidrV4 {
                    transport,
                    addr: addr[3],
                };
                let key = Key::new(32 + prefix.bits - 96, data);
                self.cidrs_v4.insert(&key, prefix.says, 0).unwrap();
            } else {
                let key = Key::new(32 + prefix.bits, CidrV6 { transport, addr });
                self.cidrs_v6.insert(&key, prefix.says, 0).unwrap();
            }
        }
    }

    /// What packets change: buckets and flows as the node has them, counters at zero.
    pub(crate) fn reset(&mut self, node: &Node) {
        self.reset_sources(node);
        replace(&mut self.flows, &node.flows);
        for (key, _) in node.flows.iter().filter(|(_, flow)| flow.established()) {
            self.hear_of(key, u32::MAX);
        }
        self.set_budgets(node);
        for transport in 0..TRANSPORTS {
            let cpus = aya::util::nr_cpus().unwrap();
            let zero = PerCpuValues::try_from(vec![Counters::default(); cpus]).unwrap();
            self.counters.set(transport, zero, 0).unwrap();
        }
    }

    /// Only the shared budgets: as the node has them.
    pub(crate) fn set_budgets(&mut self, node: &Node) {
        for (transport, hook) in (0..TRANSPORTS).flat_map(|t| Hook::ALL.map(|hook| (t, hook))) {
            let index = budget_index(transport, hook);
            let budget = Budget {
                buckets: node.budgets.get(&index).copied().unwrap_or_default(),
                ..Budget::default()
            };
            self.budgets.set(index, budget, 0).unwrap();
        }
    }

    /// Says when the established flow was last heard of; `u32::MAX`: just now.
    pub(crate) fn hear_of(&mut self, key: &FlowKey, when: u32) {
        let place = hint::place(key);
        let mut line = self.hints.get(&place.line, 0).unwrap();
        line.heard[place.at] = when;
        self.hints.set(place.line, line, 0).unwrap();
    }

    fn reset_sources(&mut self, node: &Node) {
        for set in self.used.drain(..) {
            self.sources.set(set, SourceSet::default(), 0).unwrap();
            owe(&mut self.debts, set, 0);
        }
        let for_long = paid_at((ticks() + Duration::from_secs(3600)).as_nanos() as u64 * 16);
        for (key, buckets) in &node.sources {
            let mut set = self.sources.get(&key.set(seed()), 0).unwrap();
            set.ways[usize::from(set.second(&key.addr))] = Source {
                addr: key.addr,
                buckets: *buckets,
            };
            self.sources.set(key.set(seed()), set, 0).unwrap();
            owe(&mut self.debts, key.set(seed()), for_long);
            self.used.push(key.set(seed()));
        }
    }

    pub(crate) fn uplink(&mut self, frame: &[u8]) -> Verdict {
        let program = self.loaded.xdp("stoq_uplink").unwrap();
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::new()
        };
        match program.test_run(options).unwrap().return_value {
            2 => Verdict::Pass,
            1 => Verdict::Drop,
            other => panic!("XDP returned {other}"),
        }
    }

    pub(crate) fn uplink_in(&mut self, frame: &[u8]) -> Verdict {
        self.tc("stoq_uplink_in", frame, Train::default())
    }

    pub(crate) fn pod_in(&mut self, frame: &[u8]) -> Verdict {
        self.tc("stoq_pod_in", frame, Train::default())
    }

    /// A TC program on a frame, whole or an offloaded train.
    pub(crate) fn tc(&mut self, name: &'static str, frame: &[u8], train: Train) -> Verdict {
        let skb = sk_buff(train);
        let program = self.loaded.tc(name).unwrap();
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&skb),
            ..TestRunOptions::new()
        };
        match program
            .test_run(options)
            .unwrap()
            .return_value
            .cast_signed()
        {
            -1 => Verdict::Pass,
            2 => Verdict::Drop,
            other => panic!("{name} returned {other}"),
        }
    }

    /// The counters of a transport since the last reset.
    pub(crate) fn counted(&self, transport: u32) -> Counters {
        let all = self.counters.get(&transport, 0).unwrap();
        let moved = all
            .iter()
            .find(|counters| **counters != Counters::default());
        moved.copied().unwrap_or_default()
    }

    pub(crate) fn flow(&self, key: &FlowKey) -> Option<Flow> {
        self.flows.get(key, 0).ok()
    }
}

fn owe(debts: &mut Array<MapData, DebtLine>, set: u32, until: u32) {
    let line = set / SETS_PER_LINE as u32;
    let mut debt = debts.get(&line, 0).unwrap();
    debt.until[set as usize % SETS_PER_LINE] = until;
    debts.set(line, debt, 0).unwrap();
}

/// The tick clock, which begins five minutes before 2^32 ticks
/// (<https://github.com/torvalds/linux/blob/v6.12/include/linux/jiffies.h#L205>).
fn ticks() -> Duration {
    let uptime = clock_gettime(ClockId::Boottime);
    let uptime = Duration::new(uptime.tv_sec as u64, uptime.tv_nsec as u32);
    tick().saturating_mul(u32::MAX) + uptime - Duration::from_secs(300)
}

/// Whether the kernel's test run of TC programs takes the frame: an IP header, if it says there is one, must be whole
/// (`bpf_prog_test_run_skb`, v6.18). That of XDP programs asks for an Ethernet header only.
pub(crate) fn tc_takes(frame: &[u8]) -> bool {
    let least = match frame[12..14] {
        [0x08, 0x00] => 14 + 20,
        [0x86, 0xdd] => 14 + 40,
        _ => 15,
    };
    frame.len() >= least
}

/// `struct __sk_buff` with nothing set but `gso_segs` and `gso_size`.
fn sk_buff(train: Train) -> [u8; 192] {
    let mut skb = [0; 192];
    skb[164..168].copy_from_slice(&train.segments.to_ne_bytes());
    skb[176..180].copy_from_slice(&train.size.to_ne_bytes());
    skb
}

/// Makes the map hold these entries and no others.
fn replace<'a, K, V>(
    map: &mut HashMap<MapData, K, V>,
    entries: impl IntoIterator<Item = (&'a K, &'a V)>,
) where
    K: Pod,
    V: Pod,
{
    let there: Vec<K> = map.keys().map(Result::unwrap).collect();
    for key in there {
        map.remove(&key).unwrap();
    }
    for (key, value) in entries {
        map.insert(key, value, 0).unwrap();
    }
}
