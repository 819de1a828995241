//! Writes the fuzzer's seeds: every frame of the packet table, each in one of a
//! few scenes. `cargo run --example seeds` in fuzz/.

#[path = "../../ebpf/abi/tests/packets/mod.rs"]
mod packets;

use std::fs;
use std::io;
use std::path::Path;

/// As `guard/scene.rs` reads them. Limits of both kinds and an arbitrary clock, and: every check
/// and full buckets; spent buckets; a train of an answered flow; a masqueraded packet, not QUIC.
const SCENES: [[u8; 32]; 4] = [
    scene([0b0100, 0x1f, 2, 0, 0, 0], [0, 0, 0, 0]),
    scene([0b0100, 0x01, 0, 0, 0, 0], [0, 41, 0, 41]),
    scene([0b0101, 0x0d, 4, 11, 100, 0], [9, 9, 9, 9]),
    scene([0b1000, 0x1f, 1, 0, 0, 0], [41, 41, 0, 0]),
];

const fn scene(head: [u8; 6], debts: [u8; 4]) -> [u8; 32] {
    let [a, b, c, d, e, f] = head;
    let [g, h, i, j] = debts;
    [
        a,
        b,
        c,
        d,
        e,
        f,
        20,
        10,
        20,
        10,
        3,
        g,
        h,
        i,
        j,
        0b1010_1010,
        1,
        2,
        3,
        4,
        5,
        6,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
}

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/guard");
    fs::create_dir_all(&corpus)?;
    for (case, scene) in packets::table::table().iter().zip(SCENES.iter().cycle()) {
        fs::write(corpus.join(case.name), [&scene[..], &case.frame].concat())?;
    }
    Ok(())
}
