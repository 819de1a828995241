//! Programs that are not STOQ's: baselines of measurements, what another left on an interface,
//! and a data plane that passes packets by the host side of pods.
//!
//! Interfaces are those of the calling thread's network namespace. All detach when dropped.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{HashMap, PerCpuArray};
use aya::programs::{SchedClassifier, TcAttachType, XdpMode};

use crate::lab_programs;
use crate::mac::Mac;

/// A bare XDP program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// Drops everything.
    Drop,
    /// Passes everything.
    Pass,
    /// Counts everything and passes it.
    Count,
}

impl Bare {
    /// The program's name in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "lab_drop",
            Self::Pass => "lab_pass",
            Self::Count => "lab_count",
        }
    }
}

/// A bare XDP program on an interface.
#[derive(Debug)]
pub struct ForeignXdp {
    ebpf: Ebpf,
    id: u32,
}

impl ForeignXdp {
    /// Loads and attaches it.
    pub fn attach(program: Bare, interface: &str, mode: XdpMode) -> Result<Self> {
        let mut ebpf = lab_programs::load()?;
        let xdp = lab_programs::xdp(&mut ebpf, program.name())?;
        xdp.load()?;
        xdp.attach(interface, mode)
            .with_context(|| format!("XDP on {interface}"))?;
        let id = xdp.info()?.id();
        Ok(Self { ebpf, id })
    }

    /// The kernel's id of the program.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Packets and bytes that [`Bare::Count`] has seen.
    pub fn counted(&self) -> Result<(u64, u64)> {
        let map = self.ebpf.map("COUNT").context("no map COUNT")?;
        let counts: PerCpuArray<_, [u64; 2]> = PerCpuArray::try_from(map)?;
        let per_cpu = counts.get(&0, 0)?;
        let sum = |index: usize| per_cpu.iter().map(|counts| counts[index]).sum();
        Ok((sum(0), sum(1)))
    }
}

/// A pod as the bypassing data plane knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BypassedPod {
    /// Its address.
    pub address: Ipv4Addr,
    /// Index of the host side of its interface, a veth.
    pub host_side: u32,
    /// Ethernet address of its own side.
    pub mac: Mac,
    /// Ethernet address that the pod takes for its gateway.
    pub gateway_mac: Mac,
}

/// `lab_bypass` on TC ingress of an uplink: packets for the pods are handed to their own side by
/// `bpf_redirect_peer`, and no hook on the host side sees them.
#[derive(Debug)]
pub struct Bypass {
    _ebpf: Ebpf,
}

impl Bypass {
    /// Loads it for these pods and attaches it, after the programs that are there.
    pub fn attach(uplink: &str, pods: &[BypassedPod]) -> Result<Self> {
        let mut ebpf = lab_programs::load()?;
        enter_pods(&mut ebpf, pods)?;
        let program = ebpf
            .program_mut("lab_bypass")
            .context("no program lab_bypass")?;
        let classifier: &mut SchedClassifier = program.try_into()?;
        classifier.load()?;
        classifier
            .attach(uplink, TcAttachType::Ingress)
            .with_context(|| format!("TC ingress of {uplink}"))?;
        Ok(Self { _ebpf: ebpf })
    }
}

fn enter_pods(ebpf: &mut Ebpf, pods: &[BypassedPod]) -> Result<()> {
    let map = ebpf.map_mut("BYPASS_PODS").context("no map BYPASS_PODS")?;
    let mut entries: HashMap<_, [u8; 4], [u8; 16]> = HashMap::try_from(map)?;
    for pod in pods {
        let mut entry = [0; 16];
        entry[..4].copy_from_slice(&pod.host_side.to_ne_bytes());
        entry[4..10].copy_from_slice(&pod.mac.0);
        entry[10..].copy_from_slice(&pod.gateway_mac.0);
        entries.insert(pod.address.octets(), entry, 0)?;
    }
    Ok(())
}
