//! Reading a whole map in chunks: one system call for many entries, memory for one chunk only.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use aya::Pod;
use rustix::io::Errno;

use super::bpf::{Command, bpf};
use super::{KernelError, map};

/// Calls `each` for every entry of a hash, LRU hash or LPM trie map, `chunk` entries per system call.
///
/// Entries that come or go meanwhile may be missed or seen twice. Kernels below 5.6 are read key by key.
///
/// # Errors
///
/// `EINVAL` if `K` or `V` are not of the map's sizes, or the map is per-CPU; otherwise what the kernel said.
pub fn for_each<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    chunk: u32,
    mut each: impl FnMut(&K, &V),
) -> Result<(), KernelError> {
    let info = fitting::<K, V>(map)?;
    match in_batches(map, chunk.clamp(1, info.max_entries.max(1)), &mut each) {
        Err((errno, 0)) if unsupported(errno) => one_by_one(map, info.max_entries, &mut each),
        Err((errno, _)) => Err(errno.into()),
        Ok(()) => Ok(()),
    }
}

/// The map's shape, if entries of these types may be read from it.
fn fitting<K, V>(map: BorrowedFd<'_>) -> Result<map::MapInfo, KernelError> {
    let info = map::info(map)?;
    let single = [1, 9, 11].contains(&info.map_type);
    let sizes = (info.key_size as usize, info.value_size as usize);
    if !single || sizes != (size_of::<K>(), size_of::<V>()) {
        return Err(Errno::INVAL.into());
    }
    Ok(info)
}

/// `EINVAL`: no such command; `ENOTSUPP` (524): not for this kind of map.
fn unsupported(errno: Errno) -> bool {
    errno == Errno::INVAL || errno.raw_os_error() == 524
}

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// On refusal also the number of entries already handed out.
fn in_batches<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    mut chunk: u32,
    each: &mut impl FnMut(&K, &V),
) -> Result<(), (Errno, u64)> {
    let mut keys = Vec::new();
    let mut values = Vec::new();
    let mut token = Token::start::<K>();
    let mut seen = 0;
    loop {
        let (count, outcome) = next_batch(map, chunk, &mut token, &mut keys, &mut values);
        keys.iter().zip(&values).for_each(|(k, v)| each(k, v));
        seen += u64::from(count);
        match outcome {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            // One bucket holds more entries than a chunk has room for.
            Err(Errno::NOSPC) => chunk = chunk.saturating_mul(2),
            Err(errno) => return Err((errno, seen)),
        }
    }
}

fn next_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    chunk: u32,
    token: &mut Token,
    keys: &mut Vec<K>,
    values: &mut Vec<V>,
) -> (u32, Result<(), Errno>) {
    keys.clear();
    values.clear();
    keys.reserve(chunk as usize);
    values.reserve(chunk as usize);
    let mut attr = BatchAttr {
        in_batch: token.input(),
        out_batch: token.output(),
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: chunk,
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: room for `count` keys and values was reserved, and both have the map's sizes (`fitting`);
    // the token's buffers hold the larger of a key and the bucket index.
    let outcome = unsafe { bpf(Command::MapLookupBatch, &mut attr) }.map(drop);
    // The kernel fills entries on success and at the end; on other errors `count` may be stale.
    let filled = match outcome {
        Ok(()) | Err(Errno::NOENT) => attr.count.min(chunk),
        Err(_) => 0,
    };
    // SAFETY: the kernel wrote `filled` whole entries of plain old data.
    unsafe {
        keys.set_len(filled as usize);
        values.set_len(filled as usize);
    }
    if filled > 0 || outcome.is_ok() {
        token.advance();
    }
    (filled, outcome)
}

/// Where the last batch ended: a bucket index for hashes, a key for tries.
struct Token {
    started: bool,
    current: Vec<u64>,
    next: Vec<u64>,
}

impl Token {
    fn start<K>() -> Self {
        let words = size_of::<K>().div_ceil(8).max(1);
        Self {
            started: false,
            current: vec![0; words],
            next: vec![0; words],
        }
    }

    fn input(&self) -> u64 {
        if self.started {
            self.current.as_ptr() as u64
        } else {
            0
        }
    }

    fn output(&mut self) -> u64 {
        self.next.as_mut_ptr() as u64
    }

    fn advance(&mut self) {
        self.started = true;
        std::mem::swap(&mut self.current, &mut self.next);
    }
}

/// A key that vanished under way makes the kernel start over, so the walk ends after `max_entries` steps.
fn one_by_one<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    max_entries: u32,
    each: &mut impl FnMut(&K, &V),
) -> Result<(), KernelError> {
    let mut key = None;
    for _ in 0..max_entries {
        let Some(next) = key_after::<K>(map, key.as_ref())? else {
            break;
        };
        if let Some(value) = value_of::<K, V>(map, &next)? {
            each(&next, &value);
        }
        key = Some(next);
    }
    Ok(())
}

fn key_after<K: Pod>(map: BorrowedFd<'_>, key: Option<&K>) -> Result<Option<K>, Errno> {
    let mut next = MaybeUninit::<K>::zeroed();
    let key = key.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: K has the map's key size (`fitting`), `next` is memory for one.
    let found = unsafe { map::next_key(map, key, next.as_mut_ptr()) }?;
    // SAFETY: on success the kernel wrote a whole key, and K is plain old data.
    Ok(found.then(|| unsafe { next.assume_init() }))
}

fn value_of<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K) -> Result<Option<V>, Errno> {
    let mut value = MaybeUninit::<V>::zeroed();
    // SAFETY: K and V have the map's sizes (`fitting`).
    let found = unsafe { map::lookup(map, key, value.as_mut_ptr()) }?;
    // SAFETY: on success the kernel wrote a whole value, and V is plain old data.
    Ok(found.then(|| unsafe { value.assume_init() }))
}

#[cfg(test)]
mod tests;
