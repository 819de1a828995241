//! Loads the programs onto the pinned maps.

use std::io;
use std::path::PathBuf;

use aya::programs::{Program, ProgramError, ProgramFd, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use stoq_ebpf_abi::maps::FLOWS;

pub use crate::attach::Pins;

use crate::kernel::{seed, tick};
use crate::sys::pin;

/// The BPF object: committed, and rebuilt and compared by `make ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../programs/stoq.bpf.o");

/// How to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Entries of the flow table; takes effect when the maps are created.
    pub flows: u32,
    /// Whether the kernel has `bpf_ktime_get_coarse_ns`.
    pub coarse_clock: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flows: FLOWS,
            coarse_clock: true,
        }
    }
}

/// Why the object could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no place for pins.
    #[error("{path} is no BPF file system: mount -t bpf bpf {path}")]
    NoBpffs {
        /// Where one should be mounted.
        path: PathBuf,
    },
    /// The pin directories could not be made.
    #[error("create pins below {path}: {source}")]
    Pins {
        /// `<bpffs>/stoq`.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A map or the object as a whole was refused.
    #[error("load the object: {0}")]
    Object(#[from] EbpfError),
    /// The object lacks the program, or it is of another type.
    #[error("program {name}: not in the object")]
    Missing {
        /// The program.
        name: &'static str,
    },
    /// The kernel refused the program.
    #[error("program {name}: {source}")]
    Program {
        /// The program.
        name: &'static str,
        /// The kernel's answer, the verifier's words included.
        source: ProgramError,
    },
}

/// The loaded object: its maps exist and are pinned, its programs are loaded
/// when they are first asked for.
pub struct Loaded {
    ebpf: Ebpf,
}

/// Creates or reopens the pinned maps and prepares the programs on them.
pub fn load(pins: &Pins, options: &Options) -> Result<Loaded, LoadError> {
    create(pins)?;
    // A tick is 10 ms at most.
    let nanoseconds = tick().as_nanos() as u64;
    let ebpf = EbpfLoader::new()
        .default_map_pin_directory(pins.maps())
        .map_max_entries("STOQ_FLOWS", options.flows)
        .override_global("STOQ_COARSE_CLOCK", &u8::from(options.coarse_clock), true)
        .override_global("STOQ_TICK", &nanoseconds, true)
        .override_global("STOQ_SEED", &seed(), true)
        .load(OBJECT)?;
    Ok(Loaded { ebpf })
}

/// In a plain directory nothing could be pinned.
fn create(pins: &Pins) -> Result<(), LoadError> {
    let refused = |source| LoadError::Pins {
        path: pins.root().to_owned(),
        source,
    };
    match pins.root().parent() {
        Some(bpffs) if !pin::is_bpffs(bpffs).map_err(|e| refused(e.into()))? => {
            let path = bpffs.to_owned();
            Err(LoadError::NoBpffs { path })
        }
        _ => pins.create().map_err(refused),
    }
}

impl Loaded {
    /// The program of this name, loaded, by its descriptor.
    pub fn program(&mut self, name: &'static str) -> Result<&ProgramFd, LoadError> {
        let refused = |source| LoadError::Program { name, source };
        self.ready(name)?.fd().map_err(refused)
    }

    /// The XDP program of this name.
    pub fn xdp(&mut self, name: &'static str) -> Result<&mut Xdp, LoadError> {
        let other = |_| LoadError::Missing { name };
        self.ready(name)?.try_into().map_err(other)
    }

    /// The TC program of this name.
    pub fn tc(&mut self, name: &'static str) -> Result<&mut SchedClassifier, LoadError> {
        let other = |_| LoadError::Missing { name };
        self.ready(name)?.try_into().map_err(other)
    }

    /// Loads the program when it is first asked for.
    fn ready(&mut self, name: &'static str) -> Result<&mut Program, LoadError> {
        let found = self.ebpf.program_mut(name);
        let program = found.ok_or(LoadError::Missing { name })?;
        if program.fd().is_err() {
            let loaded = match program {
                Program::Xdp(xdp) => xdp.load(),
                Program::SchedClassifier(tc) => tc.load(),
                _ => return Err(LoadError::Missing { name }),
            };
            loaded.map_err(|source| LoadError::Program { name, source })?;
        }
        Ok(program)
    }
}
