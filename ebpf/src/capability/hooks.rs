//! Gates that take a device: tried on the scratch pair.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;

use super::scratch::Pair;
use super::{Gate, Reason, af_xdp, gate::confined, objects::LOAD};
use crate::af_xdp::Socket;
use crate::kernel::confinement::Capability;
use crate::kernel::device;
use crate::sys::KernelError;
use crate::sys::link::{self, LinkKind};
use crate::sys::program::{self, EXIT, Instruction, ProgramType, set_result};
use crate::tc::{self, Direction};
use crate::xdp::{self, XdpMode};

/// The gates, in the order of [`gates`].
pub(super) const NAMES: &[&str] = &[
    "xdp-native",
    "xdp-native-jumbo",
    "xdp-generic",
    "bpf-link",
    "tcx",
    "clsact",
    "af-xdp",
    "af-xdp-jumbo",
];

/// A pair to try on, or why there is none.
pub(super) type MaybePair = Result<Pair, KernelError>;

pub(super) fn gates(pair: &MaybePair) -> Vec<Gate> {
    vec![
        tried("xdp-native", pair, |p| xdp_mode(p, XdpMode::Native)),
        tried("xdp-native-jumbo", pair, jumbo),
        tried("xdp-generic", pair, |p| xdp_mode(p, XdpMode::Generic)),
        tried("bpf-link", pair, xdp_link),
        tried("tcx", pair, tcx),
        tried("clsact", pair, clsact),
        af_xdp_socket("af-xdp", pair, |p| af_xdp::bind(&p.near)),
        af_xdp_socket("af-xdp-jumbo", pair, jumbo_socket),
    ]
}

/// Without devices to try on, nothing is known about the hook.
fn tried(
    name: &'static str,
    pair: &MaybePair,
    probe: fn(&Pair) -> Result<(), KernelError>,
) -> Gate {
    match pair {
        Ok(pair) => Gate::tried(name, LOAD, probe(pair)),
        Err(error) => no_pair(name, LOAD, error),
    }
}

/// The gate of a hook that could not be tried.
pub(super) fn no_pair(name: &'static str, needed: &[Capability], error: &KernelError) -> Gate {
    let reason = match error.errno {
        Errno::PERM | Errno::ACCESS => Reason::PermissionDenied,
        _ => Reason::ProbeFailed,
    };
    let message = format!("no scratch devices: {}", confined(error, needed));
    Gate::unknown(name, reason, message)
}

/// The socket comes before the device: it takes another capability.
fn af_xdp_socket(
    name: &'static str,
    pair: &MaybePair,
    probe: fn(&Pair) -> Result<(), KernelError>,
) -> Gate {
    const NEEDED: &[Capability] = &[Capability::NetRaw];
    if let Err(error) = Socket::new() {
        return Gate::refused(name, NEEDED, &error);
    }
    match pair {
        Ok(pair) => Gate::tried(name, NEEDED, probe(pair)),
        Err(error) => no_pair(name, NEEDED, error),
    }
}

const XDP_PASS: [Instruction; 2] = [set_result(2), EXIT];

pub(super) fn xdp_pass() -> Result<OwnedFd, KernelError> {
    program::load(ProgramType::Xdp, "stoq_probe", &XDP_PASS)
}

pub(super) fn tc_pass() -> Result<OwnedFd, KernelError> {
    const TC_ACT_UNSPEC: i32 = -1;
    let instructions = [set_result(TC_ACT_UNSPEC), EXIT];
    program::load(ProgramType::SchedCls, "stoq_probe", &instructions)
}

/// By netlink, which gives the driver's words.
fn xdp_mode(pair: &Pair, mode: XdpMode) -> Result<(), KernelError> {
    put_on(pair, mode, &xdp_pass()?)
}

fn put_on(pair: &Pair, mode: XdpMode, program: &OwnedFd) -> Result<(), KernelError> {
    xdp::attach(pair.near.index, mode, program.as_fd())?;
    xdp::detach(pair.near.index, mode, program.as_fd())
}

/// Whether native XDP takes frames above a page in one part: on virtual devices it does not.
fn jumbo(pair: &Pair) -> Result<(), KernelError> {
    with_jumbo_mtu(pair, || xdp_mode(pair, XdpMode::Native))
}

/// Whether a program and a socket take them in several parts.
fn jumbo_socket(pair: &Pair) -> Result<(), KernelError> {
    let program = program::load_for_parts("stoq_probe", &XDP_PASS)?;
    with_jumbo_mtu(pair, || put_on(pair, XdpMode::Native, &program))?;
    af_xdp::bind_for_parts(&pair.near)
}

fn with_jumbo_mtu(
    pair: &Pair,
    work: impl FnOnce() -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    const MTU: u32 = 9000;
    let ends = [pair.near.index, pair.far];
    ends.iter().try_for_each(|i| device::set_mtu(*i, MTU))?;
    let outcome = work();
    let before = pair.near.mtu;
    ends.iter().try_for_each(|i| device::set_mtu(*i, before))?;
    outcome
}

fn xdp_link(pair: &Pair) -> Result<(), KernelError> {
    let program = xdp_pass()?;
    link::create(LinkKind::XdpGeneric, pair.near.index, program.as_fd()).map(drop)
}

fn tcx(pair: &Pair) -> Result<(), KernelError> {
    let program = tc_pass()?;
    link::create(LinkKind::TcxIngress, pair.near.index, program.as_fd()).map(drop)
}

fn clsact(pair: &Pair) -> Result<(), KernelError> {
    let program = tc_pass()?;
    tc::add_qdisc(pair.near.index)?;
    let filter = tc::replace(
        pair.near.index,
        Direction::Ingress,
        "stoq_probe",
        program.as_fd(),
    );
    filter.and(tc::remove_qdisc(pair.near.index))
}
