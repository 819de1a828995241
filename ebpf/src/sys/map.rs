//! Maps: create, look up, walk, and what they cost.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::KernelError;
use super::bpf::{Command, bpf, bpf_fd};

/// `enum bpf_map_type`, as far as it is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapType {
    /// `BPF_MAP_TYPE_HASH`
    Hash = 1,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash = 9,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie = 11,
    /// `BPF_MAP_TYPE_DEVMAP`
    DevMap = 14,
    /// `BPF_MAP_TYPE_XSKMAP`
    XskMap = 17,
}

/// What to create: see [`create`].
#[derive(Clone, Copy, Debug)]
pub struct MapSpec {
    /// Kind of map.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity, in entries.
    pub max_entries: u32,
    /// `BPF_F_*` flags.
    pub flags: u32,
}

/// Creates a nameless map.
pub fn create(spec: MapSpec) -> Result<OwnedFd, KernelError> {
    let mut attr = [
        spec.map_type as u32,
        spec.key_size,
        spec.value_size,
        spec.max_entries,
        spec.flags,
    ];
    // SAFETY: the first five words of BPF_MAP_CREATE, no pointer among them.
    Ok(unsafe { bpf_fd(Command::MapCreate, &mut attr) }?)
}

/// Shape of a map, from the kernel: `struct bpf_map_info` up to the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MapInfo {
    /// Number of `enum bpf_map_type`.
    pub map_type: u32,
    /// Id, unique on the machine.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity, in entries.
    pub max_entries: u32,
    /// `BPF_F_*` flags.
    pub flags: u32,
}

/// Asks the kernel for the shape of a map.
pub fn info(map: BorrowedFd<'_>) -> Result<MapInfo, KernelError> {
    let mut info = MapInfo::default();
    super::program::object_info(map, &mut info)?;
    Ok(info)
}

/// Bytes a map or program takes in kernel memory, from its fdinfo; `None` where /proc does not tell.
pub fn memory(object: impl AsFd) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", object.as_fd().as_raw_fd());
    memlock(&std::fs::read_to_string(path).ok()?)
}

fn memlock(fdinfo: &str) -> Option<u64> {
    let line = fdinfo.lines().find_map(|l| l.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl ElementAttr {
    fn new(map: BorrowedFd<'_>, key: u64, value: u64) -> Self {
        Self {
            map_fd: map.as_raw_fd().cast_unsigned(),
            pad: 0,
            key,
            value,
            flags: 0,
        }
    }
}

/// Writes one element.
///
/// # Safety
///
/// `key` and `value` are at least as long as the map's key and value (all possible CPUs' for a per-CPU map).
pub unsafe fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> Result<(), KernelError> {
    let mut attr = ElementAttr::new(map, key.as_ptr() as u64, value.as_ptr() as u64);
    // SAFETY: both slices outlive the call; the caller vouches for their lengths.
    unsafe { bpf(Command::MapUpdate, &mut attr) }?;
    Ok(())
}

/// Reads one element into `value`; `false` if there is none.
///
/// # Safety
///
/// `key` points at a key of the map, `value` at memory for one of its values.
pub(super) unsafe fn lookup<K, V>(
    map: BorrowedFd<'_>,
    key: *const K,
    value: *mut V,
) -> Result<bool, Errno> {
    let mut attr = ElementAttr::new(map, key as u64, value as u64);
    // SAFETY: the caller vouches for both pointers.
    found(unsafe { bpf(Command::MapLookup, &mut attr) })
}

/// Writes the key after `key` (the first for a null one) into `next`; `false` at the end.
///
/// # Safety
///
/// `key` is null or points at a key of the map, `next` at memory for one.
pub(super) unsafe fn next_key<K>(
    map: BorrowedFd<'_>,
    key: *const K,
    next: *mut K,
) -> Result<bool, Errno> {
    let mut attr = ElementAttr::new(map, key as u64, next as u64);
    // SAFETY: the caller vouches for both pointers.
    found(unsafe { bpf(Command::MapNextKey, &mut attr) })
}

fn found(result: Result<i64, Errno>) -> Result<bool, Errno> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_fdinfo() {
        assert_eq!(
            memlock("pos:\t0\nmap_type:\t9\nmemlock:\t1060864\n"),
            Some(1_060_864)
        );
        assert_eq!(memlock("pos:\t0\n"), None);
    }
}
