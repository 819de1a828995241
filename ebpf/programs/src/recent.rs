//! The endpoints of this tick: a small cache in front of the endpoint table,
//! whose lookup would be the dearest step of a packet's way.
//!
//! What was found is believed until the clock ticks, so the agent lets a tick
//! pass before it takes anything away that an endpoint's former value names.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use stoq_ebpf_abi::maps::{Endpoint, EndpointKey};
use stoq_ebpf_abi::parse::Addr;

use crate::maps::STOQ_ENDPOINTS;

const PLACES: u32 = 64;

/// What the table said of a key.
#[repr(C, align(64))]
struct Recent {
    key: EndpointKey,
    found: u32,
    /// When it was asked.
    tick: u64,
    endpoint: Endpoint,
}

/// By a hash of the key; this CPU's own.
#[map]
static STOQ_RECENT: PerCpuArray<Recent> = PerCpuArray::with_max_entries(PLACES, 0);

/// The endpoint at this address and port, at this tick.
#[inline(always)]
pub(crate) fn endpoint(addr: &Addr, port: u16, tick: u64) -> Option<&'static Endpoint> {
    let key = EndpointKey {
        addr: *addr,
        port: port as u32,
    };
    let recent = STOQ_RECENT.get_ptr_mut(place(&key))?;
    // SAFETY: this CPU's value of the map, all of whose states are valid; nothing interrupts the
    // program that would look here too.
    let recent = unsafe { &mut *recent };
    if recent.tick != tick || !same(&recent.key, &key) {
        ask(recent, key, tick);
    }
    (recent.found != 0).then_some(&recent.endpoint)
}

#[inline(always)]
fn ask(recent: &mut Recent, key: EndpointKey, tick: u64) {
    recent.found = 0;
    if let Some(endpoint) = STOQ_ENDPOINTS.get_ptr(key) {
        // SAFETY: a value of the map, which stays readable until the program returns.
        recent.endpoint = unsafe { *endpoint };
        recent.found = 1;
    }
    recent.key = key;
    recent.tick = tick;
}

/// The last bytes of addresses and ports are those that differ on a node.
#[inline(always)]
fn place(key: &EndpointKey) -> u32 {
    let last = u32::from_be(key.addr[3]);
    (last ^ (last >> 8) ^ key.port) % PLACES
}

#[inline(always)]
fn same(one: &EndpointKey, other: &EndpointKey) -> bool {
    let ([a, b, c, d], [e, f, g, h]) = (one.addr, other.addr);
    (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) | (one.port ^ other.port) == 0
}
