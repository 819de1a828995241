//! Writes the seeds of the target `ring`: a script for each thing that a peer can do.
//! `cargo run --example ring_seeds` in fuzz/.

use std::fs;
use std::io;
use std::path::Path;

/// Sizes of the rings (as many entries as frames), and where indexes begin.
const HEAD: [u8; 4] = [0, 0, 64, 0];
/// The same just before indexes wrap, with a larger receive ring.
const WRAP: [u8; 4] = [0, 1, 64, 0xff];

/// A packet in one frame.
const SEND: &[u8] = &[0, 0, 100];
/// And in four, received up to three packets amid it.
const SEND_PARTS: &[u8] = &[0, 3 | 4 | 3 << 3, 255];
/// As many parts as can be, and one more.
const SEND_MOST: &[u8] = &[8, 4 | 3 << 3, 255, 36];
const SEND_TOO_MANY: &[u8] = &[8, 0, 255, 37];
/// Two parts, and never the end; the same of more than can be.
const SEND_CUT: &[u8] = &[16, 1, 50];
const SEND_CUT_LATE: &[u8] = &[24, 0, 50, 38];
const RECEIVE: &[u8] = &[2, 8];
const PUBLISH: &[u8] = &[7];

/// Name, head, steps that are repeated.
type Script = (&'static str, [u8; 4], &'static [&'static [u8]]);

const SCRIPTS: [Script; 11] = [
    ("honest", HEAD, &[SEND, SEND_PARTS, RECEIVE]),
    (
        "parts",
        WRAP,
        &[SEND_MOST, RECEIVE, SEND, RECEIVE, SEND_TOO_MANY, RECEIVE],
    ),
    (
        "cut",
        HEAD,
        &[
            SEND_CUT,
            RECEIVE,
            SEND,
            SEND_CUT_LATE,
            RECEIVE,
            SEND,
            RECEIVE,
        ],
    ),
    ("wraps", WRAP, &[SEND, SEND, SEND_PARTS, RECEIVE]),
    // Place, frame and offset, length about 2^10, options.
    ("goes_on", HEAD, &[SEND, &[3, 0, 5, 0, 10, 0, 1], RECEIVE]),
    // Address about 2^63.
    (
        "no_frame",
        HEAD,
        &[SEND, &[3, 1, 64, 63, 0, 10, 0, 0], RECEIVE],
    ),
    ("long", WRAP, &[SEND, &[3, 0, 1, 0, 31, 0, 0], RECEIVE]),
    ("fill_entry", HEAD, &[&[4, 9, 17, 3], SEND, RECEIVE]),
    // Word, and by how much about a power of two.
    (
        "indexes",
        WRAP,
        &[
            &[5, 0, 3, 1],
            SEND,
            &[5, 1, 31, 0],
            RECEIVE,
            &[5, 2, 7, 0],
            PUBLISH,
            RECEIVE,
        ],
    ),
    ("consumer", WRAP, &[&[5, 3, 6, 9], SEND, SEND, SEND]),
    (
        "frames",
        HEAD,
        &[SEND, &[6, 3, 60, 20, 1], &[5, 4, 0, 0], RECEIVE],
    ),
];

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/ring");
    fs::create_dir_all(&corpus)?;
    for (name, head, steps) in SCRIPTS {
        fs::write(
            corpus.join(name),
            [&head[..], &steps.concat().repeat(12)].concat(),
        )?;
    }
    Ok(())
}
