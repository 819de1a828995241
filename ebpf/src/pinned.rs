//! Opens pinned maps by name.

use std::os::fd::AsFd as _;
use std::path::Path;

use aya::Pod;
use aya::maps::{IterableMap, Map, MapData, MapError};
use rustix::io::Errno;

use crate::sys::{KernelError, batch};

/// Entries read per system call.
const CHUNK: u32 = 1024;

/// A pinned map could not be used: not there, or of another shape.
#[derive(Debug, thiserror::Error)]
#[error("open map {name}: {source}")]
pub struct OpenError {
    /// The map.
    pub name: &'static str,
    /// What the kernel said, or what does not fit.
    pub source: MapError,
}

/// Opens the map `name` of a pin directory as an `M`.
pub(crate) fn open<M>(dir: &Path, name: &'static str) -> Result<M, OpenError>
where
    M: TryFrom<Map, Error = MapError>,
{
    MapData::from_pin(dir.join(name))
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .map_err(|source| OpenError { name, source })
}

/// Calls `each` for every entry of a hash or trie, a chunk in memory at a time.
pub(crate) fn for_each<K: Pod, V: Pod>(
    map: &impl IterableMap<K, V>,
    each: impl FnMut(&K, &V),
) -> Result<(), KernelError> {
    batch::for_each(map.map().fd().as_fd(), CHUNK, each)
}

impl From<MapError> for KernelError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::SyscallError(refused) => refused.io_error.into(),
            MapError::KeyNotFound => Errno::NOENT.into(),
            other => Self {
                errno: Errno::INVAL,
                words: Some(other.to_string()),
            },
        }
    }
}
