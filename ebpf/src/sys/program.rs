//! Programs: load a few instructions, and what the kernel knows about a loaded one.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::bpf::{Command, bpf, bpf_fd};
use super::{KernelError, map};

/// `enum bpf_prog_type`, as far as it is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProgramType {
    /// `BPF_PROG_TYPE_SCHED_CLS`
    SchedCls = 3,
    /// `BPF_PROG_TYPE_XDP`
    Xdp = 6,
}

/// One encoded instruction, `struct bpf_insn`.
pub type Instruction = u64;

/// `r0 = value`
pub const fn set_result(value: i32) -> Instruction {
    0xb7 | ((value.cast_unsigned() as u64) << 32)
}

/// `call helper`
pub const fn call(helper: u32) -> Instruction {
    0x85 | ((helper as u64) << 32)
}

/// `exit`
pub const EXIT: Instruction = 0x95;

#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// Loads a program of raw instructions; on refusal the error carries the end of the verifier's log.
pub fn load(
    prog_type: ProgramType,
    name: &str,
    instructions: &[Instruction],
) -> Result<OwnedFd, KernelError> {
    load_with(prog_type, name, instructions, 0)
}

/// The same of an XDP program that takes frames in several parts (`BPF_F_XDP_HAS_FRAGS`, 5.18).
pub fn load_for_parts(name: &str, instructions: &[Instruction]) -> Result<OwnedFd, KernelError> {
    const HAS_FRAGS: u32 = 1 << 5;
    load_with(ProgramType::Xdp, name, instructions, HAS_FRAGS)
}

fn load_with(
    prog_type: ProgramType,
    name: &str,
    instructions: &[Instruction],
    prog_flags: u32,
) -> Result<OwnedFd, KernelError> {
    let mut log = vec![0u8; 16 * 1024];
    let attach_type = match prog_type {
        ProgramType::Xdp => super::link::XDP,
        ProgramType::SchedCls => 0,
    };
    let mut attr = LoadAttr {
        prog_type: prog_type as u32,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        insns: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 1,
        log_size: 16 * 1024,
        log_buf: log.as_mut_ptr() as u64,
        kern_version: 0,
        prog_flags,
        prog_name: object_name(name),
        prog_ifindex: 0,
        expected_attach_type: attach_type,
    };
    retry_on_signal(|| {
        // SAFETY: instructions, licence and log are alive and as long as the attribute says.
        unsafe { bpf_fd(Command::ProgLoad, &mut attr) }
    })
    .map_err(|errno| KernelError {
        errno,
        words: log_tail(&log),
    })
}

fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let room = bytes.iter_mut().take(15);
    room.zip(name.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// The verifier gives up with `EAGAIN` when a signal is pending.
fn retry_on_signal<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..4 {
        match call() {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    call()
}

/// The line that says why is the last before the statistics.
fn log_tail(log: &[u8]) -> Option<String> {
    let text = CStr::from_bytes_until_nul(log).ok()?.to_string_lossy();
    let mut lines = text.lines().rev().map(str::trim);
    let words = lines.find(|l| !l.is_empty() && !l.starts_with("processed "))?;
    Some(words.to_owned())
}

/// `struct bpf_prog_info`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct RawInfo {
    prog_type: u32,
    id: u32,
    tag: [u8; 8],
    jited_prog_len: u32,
    xlated_prog_len: u32,
    jited_prog_insns: u64,
    xlated_prog_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
    /// ifindex to prog_tags: devices, BTF, line information, none of it asked for.
    unused: [u64; 14],
    run_time_ns: u64,
    run_cnt: u64,
}

const _: () = assert!(std::mem::offset_of!(RawInfo, name) == 64);
const _: () = assert!(std::mem::offset_of!(RawInfo, run_time_ns) == 192);

/// A loaded program. Run counters stand still unless [`enable_stats`] is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Id, unique on the machine.
    pub id: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// Time spent running, on all CPUs.
    pub run_time: Duration,
    /// Times it was run.
    pub run_count: u64,
    /// Bytes of kernel memory; `None` where /proc does not tell.
    pub memory: Option<u64>,
}

/// Looks a program up by its id.
pub fn info_by_id(id: u32) -> Result<ProgramInfo, KernelError> {
    info(open(id)?.as_fd())
}

/// Asks the kernel about an open program.
pub fn info(program: BorrowedFd<'_>) -> Result<ProgramInfo, KernelError> {
    let mut raw = RawInfo::default();
    object_info(program, &mut raw)?;
    let name = raw.name.split(|b| *b == 0).next().unwrap_or_default();
    Ok(ProgramInfo {
        id: raw.id,
        name: String::from_utf8_lossy(name).into_owned(),
        run_time: Duration::from_nanos(raw.run_time_ns),
        run_count: raw.run_cnt,
        memory: map::memory(program),
    })
}

/// Opens a program by its id.
pub fn open(id: u32) -> Result<OwnedFd, KernelError> {
    let mut attr = [id, 0, 0];
    // SAFETY: {id, next id, open flags}, no pointer among them.
    Ok(unsafe { bpf_fd(Command::ProgFdById, &mut attr) }?)
}

/// The id that follows `id` among all loaded programs.
pub fn next_id(id: u32) -> Result<Option<u32>, KernelError> {
    let mut attr = [id, 0, 0];
    // SAFETY: {start id, next id, open flags}, no pointer among them.
    match unsafe { bpf(Command::ProgNextId, &mut attr) } {
        Ok(_) => Ok(Some(attr[1])),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Counts runs and time of every program until the descriptor is closed (5.8).
pub fn enable_stats() -> Result<OwnedFd, KernelError> {
    let mut attr = [0u32]; // BPF_STATS_RUN_TIME
    // SAFETY: one word, no pointer.
    Ok(unsafe { bpf_fd(Command::EnableStats, &mut attr) }?)
}

#[repr(C)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// Marks the layouts [`object_info`] may fill: `repr(C)` integers, any bytes valid.
pub(super) trait ObjectInfo {}
impl ObjectInfo for RawInfo {}
impl ObjectInfo for map::MapInfo {}
impl ObjectInfo for super::link::RawInfo {}

/// `BPF_OBJ_GET_INFO_BY_FD`: the kernel fills at most `size_of::<Info>()` bytes.
pub(super) fn object_info<Info: ObjectInfo>(
    object: BorrowedFd<'_>,
    info: &mut Info,
) -> Result<(), KernelError> {
    let mut attr = InfoAttr {
        fd: object.as_raw_fd().cast_unsigned(),
        len: u32::try_from(size_of::<Info>()).map_err(|_| Errno::TOOBIG)?,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: `info` is writable for `len` bytes, and any bytes are a valid `Info` (`ObjectInfo`).
    unsafe { bpf(Command::ObjInfo, &mut attr) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_before_the_statistics() {
        let cases = [
            (
                &b"0: (85) call\ninvalid func unknown#999\nprocessed 1 insns\n\0"[..],
                Some("invalid func unknown#999"),
            ),
            (b"\0", None),
            (b"processed 2 insns\n\0", None),
        ];
        for (log, words) in cases {
            assert_eq!(log_tail(log).as_deref(), words);
        }
    }

    #[test]
    fn a_loaded_program_is_found_by_its_id() {
        if !crate::kernel::testing::root_or_skip() {
            return;
        }
        let program = load(ProgramType::Xdp, "stoq_sys_test", &[set_result(2), EXIT]).unwrap();
        let by_fd = info(program.as_fd()).unwrap();
        assert_eq!(by_fd.name, "stoq_sys_test");
        assert_eq!(info_by_id(by_fd.id).unwrap(), by_fd);
        assert!(by_fd.memory.is_some_and(|bytes| bytes >= 4096));
    }

    #[test]
    fn a_refused_program_brings_the_verifier_s_words() {
        if !crate::kernel::testing::root_or_skip() {
            return;
        }
        let refused = load(ProgramType::Xdp, "stoq_bad", &[call(9999), EXIT]).unwrap_err();
        assert!(refused.to_string().contains("invalid func"), "{refused}");
    }
}
