//! What the stages of one packet's way tell each other.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use stoq_ebpf_abi::flow::{Direction, Flow};
use stoq_ebpf_abi::maps::{Endpoint, Hook};
use stoq_ebpf_abi::parse::Datagram;
use stoq_ebpf_abi::quic::Header;

/// The packet in work on this CPU.
pub(crate) struct Work {
    /// Set by [`crate::stage::parse`].
    pub(crate) datagram: Datagram,
    /// The endpoint it is to or from, and all below: set once that is known.
    pub(crate) endpoint: Endpoint,
    pub(crate) hook: Hook,
    pub(crate) direction: Direction,
    /// Tick clock, ns.
    pub(crate) tick: u64,
    /// Its first QUIC packet.
    pub(crate) header: Header,
    /// Datagrams it stands for.
    pub(crate) segments: u32,
    /// UDP payload of the first of them.
    pub(crate) first_len: usize,
    /// The flow that it begins, if any: too large for the stack that functions which call each
    /// other share.
    pub(crate) fresh: Flow,
}

/// One entry. All hooks run with softirqs off, so none interrupts another.
#[map]
static STOQ_WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// The packet in work. `None` never happens: the entry exists.
#[inline(always)]
pub(crate) fn get() -> Option<&'static mut Work> {
    // SAFETY: this CPU's value of the map, all of whose states are valid: zero at first, then
    // written field by field with the fields' own types. One stage at a time holds it.
    STOQ_WORK.get_ptr_mut(0).map(|work| unsafe { &mut *work })
}
