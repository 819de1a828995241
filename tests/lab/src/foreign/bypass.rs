//! A data plane that carries packets past the host side of pods' interfaces, as Cilium's eBPF host
//! routing does: `bpf_redirect_peer` on TC ingress of the uplink.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use stoq_ebpf::kernel::interface;
use stoq_ebpf::sys::link::{self, LinkKind};
use stoq_ebpf::sys::program::{self, EXIT, Instruction, ProgramType, call, set_result};

use crate::mac::Mac;

/// A pod as the bypassing data plane knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BypassedPod {
    /// Its address.
    pub address: IpAddr,
    /// Index of the host side of its interface, a veth.
    pub host_side: u32,
    /// Ethernet address of its own side.
    pub mac: Mac,
    /// Ethernet address that the pod takes for its gateway.
    pub gateway_mac: Mac,
}

/// A TCX program on the uplink's way in: packets for the pod are handed to the pod's own side, and
/// no hook on the host side sees them. Detached when dropped.
#[derive(Debug)]
pub struct Bypass {
    _link: OwnedFd,
}

impl Bypass {
    /// Attaches it to the interface; what comes later may go before it.
    pub fn attach(uplink: &str, pod: &BypassedPod) -> Result<Self> {
        let loaded = program::load(ProgramType::SchedCls, "lab_bypass", &instructions(pod));
        let program = loaded.context("load lab_bypass")?;
        let uplink = interface::by_name(uplink).context("uplink")?;
        let link = link::create(LinkKind::TcxIngress, uplink.index, program.as_fd());
        let link = link.context("attach lab_bypass")?;
        Ok(Self { _link: link })
    }
}

const TC_ACT_UNSPEC: i32 = -1;
const SKB_STORE_BYTES: u32 = 9;
const REDIRECT_PEER: u32 = 155;
const MACS: i16 = 12;

/// Compares what the packet has with what it has to have; then new MACs, and over.
fn instructions(pod: &BypassedPod) -> Vec<Instruction> {
    let wanted = wanted(pod.address);
    let go = [store_macs(pod), redirect(pod.host_side)].concat();
    let mut all = vec![encode(0xbf, 6, 1, 0, 0)];
    for (at, (load, value)) in wanted.iter().enumerate() {
        let left = 2 * (wanted.len() - at - 1) + go.len();
        all.push(*load);
        // if w0 != value: to the end
        all.push(encode(0x56, 0, 0, left as i16, *value));
    }
    [all, go, vec![set_result(TC_ACT_UNSPEC), EXIT]].concat()
}

/// Loads in network order, and what they have to give: EtherType and destination.
fn wanted(address: IpAddr) -> Vec<(Instruction, u32)> {
    let (kind, offset, bytes) = match address {
        IpAddr::V4(v4) => (0x0800, 30, v4.octets().to_vec()),
        IpAddr::V6(v6) => (0x86dd, 38, v6.octets().to_vec()),
    };
    let mut wanted = vec![(encode(0x28, 0, 0, 0, 12), kind)];
    for (word, at) in bytes.chunks_exact(4).zip((offset..).step_by(4)) {
        let word = [word[0], word[1], word[2], word[3]];
        wanted.push((encode(0x20, 0, 0, 0, at), u32::from_be_bytes(word)));
    }
    wanted
}

/// Destination and source, by way of the stack.
fn store_macs(pod: &BypassedPod) -> Vec<Instruction> {
    let macs = [pod.mac.0, pod.gateway_mac.0].concat();
    let mut all = Vec::new();
    for (word, at) in macs.chunks_exact(4).zip((-MACS..).step_by(4)) {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        all.push(encode(0x62, 10, 0, at, word));
    }
    let (packet, stack) = (encode(0xbf, 1, 6, 0, 0), encode(0xbf, 3, 10, 0, 0));
    let below = encode(0x07, 3, 0, 0, i32::from(-MACS).cast_unsigned());
    all.extend([
        packet,
        set(2, 0),
        stack,
        below,
        set(4, MACS as u32),
        set(5, 0),
    ]);
    all.push(call(SKB_STORE_BYTES));
    all
}

fn redirect(host_side: u32) -> Vec<Instruction> {
    vec![set(1, host_side), set(2, 0), call(REDIRECT_PEER), EXIT]
}

/// `register = value`
const fn set(register: u8, value: u32) -> Instruction {
    encode(0xb7, register, 0, 0, value)
}

/// `struct bpf_insn` on a little-endian machine.
const fn encode(code: u8, to: u8, from: u8, offset: i16, value: u32) -> Instruction {
    let registers = (to | (from << 4)) as u64;
    let offset = offset.cast_unsigned() as u64;
    code as u64 | (registers << 8) | (offset << 16) | ((value as u64) << 32)
}
