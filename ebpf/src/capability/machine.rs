//! Gates of the machine: file systems, type information, memory, what drivers may declare.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::io::Errno;

use super::{Gate, Reason, af_xdp};
use crate::kernel::confinement::Capability;
use crate::kernel::features;
use crate::sys::{KernelError, pin};

pub(super) fn gates(bpffs: &Path) -> Vec<Gate> {
    vec![
        bpf_filesystem(bpffs),
        btf(),
        af_xdp::locked_memory(),
        declared_features(),
    ]
}

fn bpf_filesystem(bpffs: &Path) -> Gate {
    const NAME: &str = "bpffs";
    let path = bpffs.display();
    match pin::is_bpffs(bpffs) {
        Err(errno) => {
            let message = format!("{path}: {}", KernelError::from(errno));
            Gate::unavailable(NAME, Reason::NotSupported, message)
        }
        Ok(false) => {
            let message = format!("{path} is no BPF file system: mount -t bpf bpf {path}");
            Gate::unavailable(NAME, Reason::NotSupported, message)
        }
        Ok(true) => writable(bpffs).map_or_else(
            |error| {
                let message = format!("{path}: {error}: its owner and mode, or a read-only mount");
                Gate::unavailable(NAME, Reason::PermissionDenied, message)
            },
            |()| Gate::available(NAME),
        ),
    }
}

fn writable(bpffs: &Path) -> Result<(), KernelError> {
    let scratch = bpffs.join(format!("stoq-probe-{}", std::process::id()));
    std::fs::create_dir(&scratch)?;
    Ok(std::fs::remove_dir(&scratch)?)
}

fn btf() -> Gate {
    Gate::tried("btf", &[Capability::SysAdmin], read_btf())
}

fn read_btf() -> Result<(), KernelError> {
    const MAGIC: u16 = 0xeb9f;
    let mut magic = [0; 2];
    File::open("/sys/kernel/btf/vmlinux")?.read_exact(&mut magic)?;
    if u16::from_ne_bytes(magic) != MAGIC {
        return Err(Errno::INVAL.into());
    }
    Ok(())
}

/// Absent below 6.3, which closes nothing: the attach itself decides.
fn declared_features() -> Gate {
    const NAME: &str = "xdp-features";
    const LOOPBACK: u32 = 1;
    match features::xdp_features(LOOPBACK) {
        Ok(_) => Gate::available(NAME),
        Err(error) => Gate::unknown(NAME, Reason::NotSupported, error.to_string()),
    }
}
