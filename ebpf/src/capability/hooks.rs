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
use crate::sys::program::{self, EXIT, ProgramType, set_result};
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
        af_xdp_socket(pair),
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
fn af_xdp_socket(pair: &MaybePair) -> Gate {
    const NAME: &str = "af-xdp";
    const NEEDED: &[Capability] = &[Capability::NetRaw];
    if let Err(error) = Socket::new() {
        return Gate::refused(NAME, NEEDED, &error);
    }
    match pair {
        Ok(pair) => Gate::tried(NAME, NEEDED, af_xdp::bind(&pair.near)),
        Err(error) => no_pair(NAME, NEEDED, error),
    }
}

pub(super) fn xdp_pass() -> Result<OwnedFd, KernelError> {
    const XDP_PASS: i32 = 2;
    program::load(
        ProgramType::Xdp,
        "stoq_probe",
        &[set_result(XDP_PASS), EXIT],
    )
}

pub(super) fn tc_pass() -> Result<OwnedFd, KernelError> {
    const TC_ACT_UNSPEC: i32 = -1;
    let instructions = [set_result(TC_ACT_UNSPEC), EXIT];
    program::load(ProgramType::SchedCls, "stoq_probe", &instructions)
}

/// By netlink, which gives the driver's words.
fn xdp_mode(pair: &Pair, mode: XdpMode) -> Result<(), KernelError> {
    let program = xdp_pass()?;
    xdp::attach(pair.near.index, mode, program.as_fd())?;
    xdp::detach(pair.near.index, mode, program.as_fd())
}

/// Whether native XDP takes frames above a page: on virtual devices it does not.
fn jumbo(pair: &Pair) -> Result<(), KernelError> {
    with_mtu(pair, 9000, || xdp_mode(pair, XdpMode::Native))
}

fn with_mtu(
    pair: &Pair,
    mtu: u32,
    work: impl FnOnce() -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    let ends = [pair.near.index, pair.far];
    ends.iter().try_for_each(|i| device::set_mtu(*i, mtu))?;
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
