//! The laboratory's BPF object and its programs.

use anyhow::{Context, Result};
use aya::programs::Xdp;
use aya::{Ebpf, include_bytes_aligned};

static OBJECT: &[u8] = include_bytes_aligned!("../../../ebpf/programs/lab.bpf.o");

/// Creates the object's maps; its programs are loaded one by one.
pub(crate) fn load() -> Result<Ebpf> {
    Ebpf::load(OBJECT).context("loading lab.bpf.o")
}

/// An XDP program of the object by its name.
pub(crate) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}
