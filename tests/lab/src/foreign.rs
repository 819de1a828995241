//! Programs that are not STOQ's: baselines of measurements, what another left on an interface,
//! and a data plane that passes packets by the host side of pods.
//!
//! Interfaces are those of the calling thread's network namespace. All detach when dropped.

mod bypass;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::PerCpuArray;
use aya::programs::XdpMode;

pub use bypass::{Bypass, BypassedPod};

use crate::lab_programs;

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
