//! Gates of bpf(2): programs, helpers and maps.

use super::Gate;
use crate::kernel::confinement::Capability;
use crate::sys::map::{self, MapSpec, MapType};
use crate::sys::program::{self, EXIT, ProgramType, call, set_result};

pub(super) fn gates() -> Vec<Gate> {
    let mut gates = vec![xdp_program(), tc_program(), coarse_clock()];
    gates.extend(MAPS.iter().map(map_gate));
    gates.push(run_statistics());
    gates
}

/// What a program for a network device takes.
pub(super) const LOAD: &[Capability] = &[Capability::Bpf, Capability::NetAdmin];

fn xdp_program() -> Gate {
    Gate::tried("xdp-program", LOAD, super::hooks::xdp_pass())
}

fn tc_program() -> Gate {
    Gate::tried("tc-program", LOAD, super::hooks::tc_pass())
}

fn coarse_clock() -> Gate {
    const BPF_FUNC_KTIME_GET_COARSE_NS: u32 = 160;
    let instructions = [call(BPF_FUNC_KTIME_GET_COARSE_NS), set_result(2), EXIT];
    let loaded = program::load(ProgramType::Xdp, "stoq_probe", &instructions);
    Gate::tried("coarse-clock", LOAD, loaded)
}

/// Needs more than the agent has in a cluster; without it run times are missing, nothing else.
fn run_statistics() -> Gate {
    Gate::tried(
        "run-statistics",
        &[Capability::SysAdmin],
        program::enable_stats(),
    )
}

struct MapProbe {
    name: &'static str,
    spec: MapSpec,
    needed: &'static [Capability],
}

const fn probe(name: &'static str, map_type: MapType, needed: &'static [Capability]) -> MapProbe {
    const BPF_F_NO_PREALLOC: u32 = 1;
    let trie = matches!(map_type, MapType::LpmTrie);
    let spec = MapSpec {
        map_type,
        key_size: if trie { 8 } else { 4 },
        value_size: 4,
        max_entries: 8,
        flags: if trie { BPF_F_NO_PREALLOC } else { 0 },
    };
    MapProbe { name, spec, needed }
}

const MAPS: [MapProbe; 6] = [
    probe("map-hash", MapType::Hash, &[Capability::Bpf]),
    probe("map-lru-hash", MapType::LruHash, &[Capability::Bpf]),
    probe("map-percpu-array", MapType::PerCpuArray, &[Capability::Bpf]),
    probe("map-lpm-trie", MapType::LpmTrie, &[Capability::Bpf]),
    probe("map-devmap", MapType::DevMap, LOAD),
    probe("map-xskmap", MapType::XskMap, LOAD),
];

fn map_gate(probe: &MapProbe) -> Gate {
    Gate::tried(probe.name, probe.needed, map::create(probe.spec))
}
