//! The maps of the real object, pinned in a scratch place.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData};
use stoq_ebpf::loader::{self, Options, Pins};
use stoq_ebpf::tables::{Applied, Desired, Tables};

use super::support::Scratch;

/// Loads the object and returns the directory of its maps' pins.
pub(crate) fn load(scratch: &Scratch, options: &Options) -> PathBuf {
    let pins = Pins::new(&scratch.bpffs);
    drop(loader::load(&pins, options).unwrap());
    pins.maps()
}

/// Opens one map by its pin.
pub(crate) fn open(maps: &Path, name: &str) -> Map {
    let data = MapData::from_pin(maps.join(name));
    data.and_then(Map::from_map_data).unwrap()
}

/// Applies until every slot has its histograms: tests that run at once share the kernel's reserve.
pub(crate) fn apply(tables: &mut Tables, desired: &Desired) -> Applied {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let applied = tables.apply(desired).unwrap();
        if applied.without_histograms.is_empty() {
            return applied;
        }
        assert!(Instant::now() < deadline, "no kernel memory for histograms");
    }
}
