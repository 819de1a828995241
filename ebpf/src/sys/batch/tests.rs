use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};

use super::*;
use crate::sys::map::{MapSpec, MapType};

fn filled(map_type: MapType, entries: u32) -> Option<OwnedFd> {
    if !crate::kernel::testing::root_or_skip() {
        return None;
    }
    let spec = MapSpec {
        map_type,
        key_size: 8,
        value_size: 12,
        max_entries: 4096,
        // BPF_F_NO_PREALLOC, which a trie demands.
        flags: u32::from(map_type == MapType::LpmTrie),
    };
    let map = map::create(spec).unwrap();
    for n in 0..entries {
        let key = [32u32.to_ne_bytes(), n.to_ne_bytes()].concat();
        let value = [n, n + 1, n + 2].map(u32::to_ne_bytes).concat();
        // SAFETY: 8 and 12 bytes, as the map was created with.
        unsafe { map::update(map.as_fd(), &key, &value) }.unwrap();
    }
    Some(map)
}

fn expected(entries: u32) -> BTreeMap<[u32; 2], [u32; 3]> {
    (0..entries).map(|n| ([32, n], [n, n + 1, n + 2])).collect()
}

#[test]
fn every_entry_is_read_whatever_the_chunk() {
    for map_type in [MapType::Hash, MapType::LruHash, MapType::LpmTrie] {
        for chunk in [1, 7, 256, 100_000] {
            let Some(map) = filled(map_type, 1000) else {
                return;
            };
            let mut read = BTreeMap::new();
            for_each(map.as_fd(), chunk, |k: &[u32; 2], v: &[u32; 3]| {
                read.insert(*k, *v);
            })
            .unwrap();
            assert_eq!(read, expected(1000), "{map_type:?} by {chunk}");
        }
    }
}

#[test]
fn an_empty_map_yields_nothing() {
    let Some(map) = filled(MapType::LruHash, 0) else {
        return;
    };
    for_each(map.as_fd(), 64, |_: &[u32; 2], _: &[u32; 3]| {
        panic!("an entry from an empty map")
    })
    .unwrap();
}

#[test]
fn reading_key_by_key_gives_the_same() {
    let Some(map) = filled(MapType::Hash, 100) else {
        return;
    };
    let mut read = BTreeMap::new();
    one_by_one(map.as_fd(), 4096, &mut |k: &[u32; 2], v: &[u32; 3]| {
        read.insert(*k, *v);
    })
    .unwrap();
    assert_eq!(read, expected(100));
}

#[test]
fn a_type_of_another_size_is_refused() {
    let Some(map) = filled(MapType::Hash, 1) else {
        return;
    };
    let refused = for_each(map.as_fd(), 64, |_: &[u32; 2], _: &[u32; 4]| {});
    assert_eq!(refused.map_err(|e| e.errno), Err(Errno::INVAL));
}
