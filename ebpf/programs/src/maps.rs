//! The maps. All are pinned by name: they outlive the agent and its upgrades.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::generated::bpf_map_lookup_elem;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, DevMap, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, XskMap};
use stoq_ebpf_abi::flow::Flow;
use stoq_ebpf_abi::hint::{HINT_LINES, HintLine};
use stoq_ebpf_abi::maps::{
    Activity, Budget, CIDRS, CidrV4, CidrV6, Counters, ENDPOINTS, Endpoint, EndpointKey, FLOWS,
    FlowKey, Histograms, Hook, NODES, OPENINGS, Opening, Policy, TRANSPORTS, TransportName,
    Unjudged,
};
use stoq_ebpf_abi::parse::Addr;
use stoq_ebpf_abi::source::{DEBT_LINES, DebtLine, SOURCE_SETS, SourceSet};

#[map]
pub(crate) static STOQ_ENDPOINTS: HashMap<EndpointKey, Endpoint> = HashMap::pinned(ENDPOINTS, 0);

#[map]
pub(crate) static STOQ_POLICIES: Array<Policy> = Array::pinned(TRANSPORTS, 0);

#[map]
pub(crate) static STOQ_CIDRS_V4: LpmTrie<CidrV4, u32> = LpmTrie::pinned(CIDRS, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static STOQ_CIDRS_V6: LpmTrie<CidrV6, u32> = LpmTrie::pinned(CIDRS, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static STOQ_NODES: HashMap<Addr, u32> = HashMap::pinned(NODES, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static STOQ_SOURCES: Array<SourceSet> = Array::pinned(SOURCE_SETS, 0);

#[map]
pub(crate) static STOQ_DEBTS: Array<DebtLine> = Array::pinned(DEBT_LINES, 0);

#[map]
pub(crate) static STOQ_BUDGETS: Array<Budget> = Array::pinned(TRANSPORTS * Hook::COUNT as u32, 0);

#[map]
pub(crate) static STOQ_FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::pinned(FLOWS, 0);

#[map]
pub(crate) static STOQ_HINTS: Array<HintLine> = Array::pinned(HINT_LINES, 0);

#[map]
pub(crate) static STOQ_OPENINGS: LruHashMap<FlowKey, Opening> = LruHashMap::pinned(OPENINGS, 0);

#[map]
pub(crate) static STOQ_ACTIVITY: Array<Activity> = Array::pinned(ENDPOINTS, 0);

/// By endpoint id: its address. What a flow says of its endpoint is checked by it
/// against the endpoint table.
#[map]
pub(crate) static STOQ_ADDRESSES: Array<Addr> = Array::pinned(ENDPOINTS, 0);

#[map]
pub(crate) static STOQ_COUNTERS: PerCpuArray<Counters> = PerCpuArray::pinned(ENDPOINTS, 0);

/// By slot; entries are made by the agent, so that memory follows use.
#[map]
pub(crate) static STOQ_HISTOGRAMS: PerCpuHashMap<u32, Histograms> =
    PerCpuHashMap::pinned(ENDPOINTS, BPF_F_NO_PREALLOC);

#[map]
pub(crate) static STOQ_UNJUDGED: PerCpuArray<Unjudged> = PerCpuArray::pinned(1, 0);

/// By endpoint id: the device that leads to its socket.
#[map]
pub(crate) static STOQ_RELAYS: DevMap = DevMap::pinned(ENDPOINTS, 0);

/// By endpoint id.
#[map]
pub(crate) static STOQ_SOCKETS: XskMap = XskMap::pinned(ENDPOINTS, 0);

/// The agent's own: which transport an index stands for.
#[map]
pub(crate) static STOQ_TRANSPORTS: Array<TransportName> = Array::pinned(TRANSPORTS, 0);

/// An LPM key with the layout of [`Key`], but aligned: the packed one is
/// written byte by byte.
#[repr(C)]
pub(crate) struct AlignedKey<K> {
    pub(crate) prefix_len: u32,
    pub(crate) data: K,
}

/// What the trie says of `key`; 0 where it says nothing.
#[inline(always)]
pub(crate) fn longest_match<K>(trie: &LpmTrie<K, u32>, key: &AlignedKey<K>) -> u32 {
    const { assert!(size_of::<AlignedKey<K>>() == size_of::<Key<K>>()) };
    let trie: *const LpmTrie<K, u32> = trie;
    let key: *const AlignedKey<K> = key;
    // SAFETY: a map and a key of that map's size; the result is null or a value of it.
    unsafe {
        let value = bpf_map_lookup_elem(trie.cast_mut().cast::<c_void>(), key.cast::<c_void>());
        value.cast::<u32>().as_ref().copied().unwrap_or(0)
    }
}
